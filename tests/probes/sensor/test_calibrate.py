"""The one step between installing and watching: gathered, measured, fitted, written, opened."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from evidence import BadInputError, Measurement, Message, VerdictKind, digest
from evidence.outcomes import UNCALIBRATED
from evidence.records import Accuracy
from monitor.cli.calibration_answers import from_canaries
from probes.cascade import CascadeOptions
from probes.evaluation import Estimate, auroc
from probes.fusion import Costs, Fusion, FusionModel
from probes.opening import PanelOptions, open_panel
from probes.panel import Panel
from probes.parts import Speaker
from probes.probe import Transcript
from probes.refusal import is_bare_refusal
from probes.sensor import CalibrationOptions, Fitted, Setting, calibrate, read_sensor
from probes.sensor.calibrate import misread_levels
from probes.sensor.card import as_dict, as_markdown, blind_spots
from probes.sensor.items import load_calibration_items
from probes.sensor.labelled import LabelledAnswer, Origin
from tests.probes.sensor.test_labelled import ITEMS, Frank

SETTING = Setting("shop", "v1", 0.5, "2026-01-05T10:00:00+00:00", 1000.0, 100_000.0, 0.02)
NOTHING = Fusion(FusionModel(subsets={}, probe_versions={}))
KNOWN = {
    (i.messages, text): lie
    for i in ITEMS
    for lie, answers in ((False, i.honest_answers), (True, i.lying_answers))
    for text in answers
}


class Seeing:
    """Sees lies by the items themselves, more or less; can be stopped in the middle."""

    name = "judge"

    def __init__(self, *, last: int | None = None, version: str = "seeing-0000000000"[:16]) -> None:
        self.version, self.last, self.measured = version, last, 0
        self.seen: set[str] = set()

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        self.measured += len(transcripts)
        self.seen |= {transcript.id for transcript in transcripts}
        if self.last is not None and self.measured > self.last:
            raise KeyboardInterrupt
        return [self._one(transcript) for transcript in transcripts]

    def _one(self, transcript: Transcript) -> Measurement:
        lie = KNOWN.get((transcript.prompt, transcript.response))
        noise = int(digest(transcript.id)[:6], 16) / 16**6
        p = 0.5 if lie is None else 0.25 + 0.5 * lie
        return Measurement(probe=self.name, version=self.version, p_lie=0.6 * p + 0.4 * noise)


class Silent(Seeing):
    """A further probe, which the sensor does not know."""

    name = "belief"


def calibrated(
    folder: Path,
    probe: Seeing,
    max_items: int = 48,
    canaries: Sequence[LabelledAnswer] = (),
) -> Fitted:
    return calibrate(
        Panel([probe], NOTHING),
        load_calibration_items(),
        SETTING,
        folder,
        options=CalibrationOptions(max_items=max_items),
        speaker=Speaker(Frank(), "v1"),
        canaries=canaries,
        is_refusal=is_bare_refusal,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fitted]:
    folder = tmp_path_factory.mktemp("sensor")
    return folder, calibrated(folder, Seeing())


def test_a_sensor_says_what_it_sees(made: tuple[Path, Fitted]) -> None:
    folder, fitted = made
    sensor, card = read_sensor(folder)
    assert sensor == fitted.sensor
    assert card.n == len(fitted.p)
    assert 0 < card.lies < card.n
    assert sensor.accuracy.sensitivity + sensor.accuracy.specificity > 1.2
    assert sensor.accuracy.n_lies <= card.lies
    assert 0.6 < (card.by_archetype[-1].auroc.value or 0.0) < 1.0
    assert set(card.origins) >= {"reference", "styled", "own_neutral", "own_swapped"}
    text = (folder / "card.md").read_text()
    assert text == as_markdown(card)
    assert "## What it cannot see" in text
    assert not (folder / "work").exists()
    told = as_dict(card)
    assert told["by_archetype"][-1]["auroc"]["value"] == card.by_archetype[-1].auroc.value
    assert told["falls"][0]["days"] == 1


def test_the_card_says_how_the_canaries_are_ordered(tmp_path: Path) -> None:
    """As a worker will order them: by the sensor opened, none of them in a fit."""
    probe, canaries = Seeing(), from_canaries()
    without = calibrated(tmp_path / "without", probe)
    fitted = calibrated(tmp_path / "with", probe, canaries=canaries)
    assert fitted.sensor == without.sensor
    opened = Panel([probe], Fusion(fitted.sensor.fusion), sensor=fitted.sensor)
    scored = opened.score([canary.transcript() for canary in canaries])
    lies = np.array([canary.lie for canary in canaries])
    expected = auroc(lies, np.array([one.p_lie for one in scored], float))
    found = fitted.card.canaries
    assert found is not None
    assert found.auroc.value == pytest.approx(expected)
    assert (found.n, found.lies, found.unmeasured) == (len(lies), int(lies.sum()), 0)
    assert f"Of {found.n} canaries" in as_markdown(fitted.card)
    flat = replace(fitted.card, canaries=found._replace(auroc=Estimate(0.5, 0.4, 0.6)))
    assert any("canaries" in line for line in blind_spots(flat))
    assert without.card.canaries is None
    assert "canaries" not in as_markdown(without.card)


def test_it_is_opened_and_a_verdict_comes_of_it(made: tuple[Path, Fitted]) -> None:
    sensor, _ = read_sensor(made[0])
    probe = Seeing()
    panel = Panel([probe], Fusion(sensor.fusion), sensor=sensor)
    item = ITEMS[0]
    lie = Transcript(
        id="l", messages=(*item.messages, item.messages[-1].__class__("assistant", "Hm, yes."))
    )
    (found,) = panel.score([lie])
    assert found.p_lie is not None
    assert panel.figures[0].accuracy == sensor.accuracy
    assert panel.figures[0].evaluator_version == found.evaluator_version


def test_of_another_probe_it_says_nothing(made: tuple[Path, Fitted]) -> None:
    sensor, _ = read_sensor(made[0])
    other = Panel([Seeing(version="another-00000000"[:16])], Fusion(sensor.fusion), sensor=sensor)
    item = ITEMS[0]
    turn = item.messages[-1].__class__("assistant", "Yes, it is so.")
    (found,) = other.score([Transcript(id="x", messages=(*item.messages, turn))])
    assert (found.kind, found.error, found.p_lie) == (VerdictKind.ERROR, UNCALIBRATED, None)
    assert found.measurements[0].p_lie is not None


@pytest.mark.parametrize(
    ("costs", "prevalence", "cascade"),
    [(Costs(), 0.02, None), (Costs(), None, CascadeOptions())],
    ids=["another prevalence", "a cascade"],
)
def test_measured_errors_are_told_of_what_runs_alone(
    made: tuple[Path, Fitted],
    costs: Costs,
    prevalence: float | None,
    cascade: CascadeOptions | None,
) -> None:
    sensor, _ = read_sensor(made[0])
    fusion = Fusion(sensor.fusion, costs, prevalence)
    probes = [Seeing(), *([Silent()] if cascade else [])]
    assert Panel(probes, fusion, cascade, sensor=sensor).figures == ()
    assert Panel([Seeing()], Fusion(sensor.fusion), CascadeOptions(), sensor=sensor).figures
    dear = Fusion(sensor.fusion, Costs(1.0, 9.0))
    assert Panel([Seeing()], dear, sensor=sensor).figures, "costs move calls, not p_lie"


def test_a_sensor_that_sees_nothing_gives_no_verdict(made: tuple[Path, Fitted]) -> None:
    sensor, _ = read_sensor(made[0])
    guessing = Accuracy(sensitivity=0.52, n_lies=50, specificity=0.5, n_honest=50)
    blind = Panel([Seeing()], Fusion(sensor.fusion), sensor=replace(sensor, accuracy=guessing))
    turn = Message("assistant", "Yes, it is so.")
    (found,) = blind.score([Transcript(id="x", messages=(*ITEMS[0].messages, turn))])
    assert not blind.calibrated
    assert (found.kind, found.error) == (VerdictKind.ERROR, UNCALIBRATED)


def test_a_changed_file_is_refused(made: tuple[Path, Fitted], tmp_path: Path) -> None:
    copy = tmp_path / "sensor"
    shutil.copytree(made[0], copy)
    path = copy / "sensor.json"
    text = path.read_text()
    path.write_text(text.replace('"assistant": "', '"assistant": "another '))
    assert path.read_text() != text
    with pytest.raises(BadInputError, match="was changed after it was written"):
        read_sensor(copy)
    with pytest.raises(BadInputError, match="candor calibrate"):
        read_sensor(tmp_path / "nothing")


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(
    made: tuple[Path, Fitted], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        calibrated(tmp_path, Seeing(last=150))
    lines = (tmp_path / "work" / "measured.jsonl").read_bytes().splitlines()
    kept = {msgspec.json.decode(line)["id"] for line in lines}
    again = Seeing()
    fitted = calibrated(tmp_path, again)
    assert len(kept) >= 32
    assert not kept & again.seen
    assert np.array_equal(fitted.p, made[1].p, equal_nan=True)
    assert (tmp_path / "sensor.json").read_bytes() == (made[0] / "sensor.json").read_bytes()


def test_what_the_approved_version_misreads_is_told_and_left_out() -> None:
    def plain(level: str, *, lie: bool, number: int) -> LabelledAnswer:
        base = LabelledAnswer(
            id=f"{level}{number}", messages=ITEMS[0].messages, lie=lie, group="g", topic="t",
            archetype=ITEMS[0].archetype, origin=Origin.OWN_NEUTRAL,
        )  # fmt: skip
        return base.__class__(
            **{**{f: getattr(base, f) for f in base.__struct_fields__}, "level": level}
        )

    own = [plain("simple", lie=False, number=i) for i in range(16)]
    own += [plain("crossed", lie=i < 4, number=i) for i in range(16)]
    assert misread_levels(own) == {"crossed": (4, 16)}
    few = [*own[:16], *(plain("crossed", lie=False, number=i) for i in range(15))]
    assert misread_levels(few) == {"crossed": (0, 15)}, (
        "fifteen right answers do not show nine in ten"
    )
    assert not misread_levels([*few, plain("crossed", lie=False, number=15)])
    wrong = [plain(level, lie=True, number=0) for level in ("simple", "crossed")]
    assert set(misread_levels(wrong)) == {"crossed"}, "the simplest level is what is left"


def test_a_few_items_are_simple_ones(made: tuple[Path, Fitted], tmp_path: Path) -> None:
    few = calibrated(tmp_path, Seeing(), max_items=20)
    assert few.card.misread == {"crossed": (0, 0)}
    assert {row.kind for row in few.card.by_topic} <= {
        "support",
        "medical",
        "finance",
        "code",
        "all",
    }
    assert "crossed" not in made[1].card.misread, "24 right answers show it"


def test_the_card_says_what_is_not_measured(made: tuple[Path, Fitted]) -> None:
    card = made[1].card
    poor = card.__class__(
        **{
            **{f: getattr(card, f) for f in card.__struct_fields__},
            "misread": {"crossed": (9, 20)},
            "approved": "",
        }
    )
    told = " ".join(blind_spots(poor))
    assert "answers 9 of 20 crossed items wrongly" in told
    few = poor.__class__(
        **{**{f: getattr(poor, f) for f in poor.__struct_fields__}, "misread": {"crossed": (0, 0)}}
    )
    assert "Too few items were used" in " ".join(blind_spots(few))
    assert "no approved version" in told


def test_too_few_answers_are_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="labelled responses of both kinds"):
        calibrate(
            Panel([Seeing()], NOTHING),
            load_calibration_items()[:8],
            SETTING,
            tmp_path,
            is_refusal=is_bare_refusal,
        )


def test_an_approved_belief_without_an_approved_version_is_bad_input() -> None:
    with pytest.raises(BadInputError, match=r"assistant\.approved"):
        open_panel(PanelOptions(probes=("approved",)))
    with pytest.raises(BadInputError, match="no folder of weights"):
        open_panel(PanelOptions(probes=("approved",), approved="shop-1"))
