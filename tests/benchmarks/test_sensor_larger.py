"""A model's two versions and its sensor, on a tiny random model: what is finished is kept, and other sizes refused.

A random model says nothing that is honest or a lie, so what the versions said is the demo's recording.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import sensor_larger
from benchmarks.sensor_bench import Answer, Told, elsewhere, of_items, of_turns, row, unseen
from evidence import BadInputError
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Turn, read_recording
from probes.models.local import LocalModel
from probes.sensor.labelled import Origin

SIZES = {
    "honest-rows": 24,
    "turns": 64,
    "drifted-rows": 24,
    "answers": 16,
    "unseen": 16,
    "elsewhere": 2,
    "items": 20,
}
ARGUMENTS = [part for name, n in SIZES.items() for part in (f"--{name}", str(n))]


def recorded(model: str, split: str, count: int) -> list[Turn]:
    turns = read_recording().turns
    return [t for t in turns if (t.model, t.source.split) == (model, split)][:count]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder in which both versions have answered."""
    for name, turns in (
        ("turns", recorded(HONEST_MODEL, "train", 64)),
        ("seen", recorded(DRIFTED_MODEL, "train", 16)),
        ("unseen", recorded(DRIFTED_MODEL, "held_out", 16)),
    ):
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(turns))
    return tmp_path


def test_a_model_is_trained_calibrated_and_measured_and_nothing_is_done_twice(
    tiny_dir: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["--model", str(tiny_dir), "--out", str(out), *ARGUMENTS]
    sensor_larger.main(arguments)
    first = capsys.readouterr().out
    assert "# Sensor of demo" in first
    for kind in ("drifted", "both versions", "drifted, wordings unseen"):
        assert f"| {kind} |" in first
    # Chance is all that a random model's sensor reaches, so that it measures nothing.
    assert "approved: no honest answer was measured" in first
    base = LocalModel.load(tiny_dir)
    approved = LocalModel.load(out / "approved")
    drifted = LocalModel.load(out / "approved", adapter=out / "drifted")
    assert len({m.digest for m in (base, approved, drifted)}) == 3

    def again(*_args: object, **_named: object) -> None:
        raise AssertionError("done twice")

    for part in ("answer", "spoken", "build_approved"):
        monkeypatch.setattr(sensor_larger, part, again)
    monkeypatch.setattr("benchmarks.sensor_bench.calibrate", again)
    sensor_larger.main(arguments)
    assert capsys.readouterr().out == first
    with pytest.raises(BadInputError, match="other sizes"):
        sensor_larger.main([*arguments, "--answers", "17"])


def test_unseen_answers_go_by_the_wording_of_the_items() -> None:
    turns = [t for t in read_recording().turns if t.model == DRIFTED_MODEL]
    found = unseen(turns)
    assert found
    assert all(one.group.startswith("simple.") and one.origin is Origin.FILE for one in found)
    assert len({one.id for one in found}) == len(found)
    train = {f"simple.{t.source.template}" for t in turns if t.source.split == "train"}
    assert not train & {one.group for one in found}


def test_answers_keep_the_label_of_their_rules() -> None:
    turns = recorded(HONEST_MODEL, "train", 4)
    assert [a.label for a in of_turns(turns)] == [t.label for t in turns]
    items = elsewhere(3)
    said = of_items(items, [item.lying_answers[0] for item in items])
    assert said[0] == Answer(items[0].pressured, said[0].text, "lie", items[0].template)
    assert {one.label for one in said} == {"lie"}
    assert [i.id for i in elsewhere(2)] == [i.id for i in items[:2]]


def test_two_versions_are_measured_beside_each_other() -> None:
    honest = Told("a", np.array([0.1, 0.2]), np.array([False, False]), ["x", "y"])
    lies = Told("b", np.array([0.9, 0.15]), np.array([True, True]), ["x", "y"])
    both = honest.beside(lies, "both")
    found = row(both)
    assert (found.kind, found.n, found.lies, found.auroc.value) == ("both", 4, 2, 0.75)
    assert both.honest.tolist() == [0.1, 0.2]
    assert row(honest).auroc.value is None


def test_nothing_measured_has_no_figure() -> None:
    nothing = Told("none", np.array([]), np.array([], bool), [], 3)
    assert (row(nothing).n, row(nothing).unmeasured) == (0, 3)
    assert row(nothing).auroc.value is None
