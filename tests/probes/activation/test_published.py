"""Published probes: files that the package lie-detectors writes, scored as it scores, and never run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import lie_detectors
import numpy as np
import pytest
import torch
from lie_detectors.types import ProbeArchitecture, TrainHyperparameters

from evidence import BadInputError, Message
from probes.activation import ActivationProbe
from probes.activation.opening import open_activation, precision
from probes.activation.published import PublishedProbe
from probes.activation.published_file import QUESTIONS, published_file, read_published
from probes.models.local import LocalModel
from probes.probe import Transcript
from tests.probes.lens import LensServer, opened

WIDTH = 32
CARD = "# Probe\n\nAppend the exact follow-up question:\n\n> {question}\n\nThen: …\n"


def made(architecture: str, width: int = WIDTH) -> lie_detectors.BaseProbe:
    """A probe of the package with drawn weights."""
    torch.manual_seed(0)
    kind = lie_detectors.PROBE_REGISTRY[ProbeArchitecture(architecture)]
    probe = kind(
        width,
        threshold=0.25,
        hyperparams=TrainHyperparameters(
            layer=1, layer_pct=60, probe_architecture=ProbeArchitecture(architecture), epochs=3
        ),
    )
    for name, buffer in probe.named_buffers():
        if name != "threshold":
            buffer.copy_(torch.rand(width) + 0.5)
    return probe


def write(probe: lie_detectors.BaseProbe, folder: Path, question: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    assert probe.hyperparams is not None
    told = probe.hyperparams.model_dump()
    torch.save({"state_dict": probe.state_dict(), "hyperparams": told}, folder / "probe.pt")
    lie_detectors.load_probe(folder / "probe.pt")
    if question is not None:
        (folder / "README.md").write_text(CARD.format(question=question))
    return folder / "probe.pt"


def transcript(response: str) -> Transcript:
    asked = (Message("system", "The pump failed."), Message("user", "Did it fail?"))
    return Transcript(id="a", messages=(*asked, Message("assistant", response)))


BATCH = [transcript(text) for text in ("Yes, it failed.", "No", "", "It was fine. " * 30)]


@pytest.mark.parametrize("architecture", ["dim", "lr", "mlp"])
@pytest.mark.parametrize("module", ["lie_detectors.types", "deception.detectors.utils.types"])
def test_scores_are_those_of_the_package(
    architecture: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProbeArchitecture, "__module__", module)
    probe = made(architecture)
    file = write(probe, tmp_path)
    assert module.encode() in zipfile.ZipFile(file).read(f"{file.stem}/data.pkl")
    found = read_published(file)
    states = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)
    with torch.no_grad():
        expected = probe(torch.tensor(states)).numpy()
    assert np.allclose(found.scores(states), expected, atol=1e-4)
    assert (found.layer, found.width, found.question) == (2, WIDTH, None)
    assert found.threshold == pytest.approx(0.25)


@pytest.mark.parametrize("architecture", ["dim", "lr", "mlp"])
def test_the_mean_score_over_the_response_is_set_against_the_threshold(
    architecture: str, tiny: LocalModel, tmp_path: Path
) -> None:
    package = made(architecture)
    write(package, tmp_path)
    probe = open_activation(tiny, tmp_path)
    assert isinstance(probe, PublishedProbe)
    found = probe.measure(BATCH)
    encoded = [tiny.encode(t.prompt, t.response) for t in BATCH]
    for one, state, item in zip(found, tiny.hidden(encoded, (2,)), encoded, strict=True):
        if not item.response:
            assert (one.p_lie, one.abstained) == (None, "empty response")
            continue
        with torch.no_grad():
            margin = float(package(torch.tensor(state[0])).mean()) - 0.25
        assert one.answers["margin"] == pytest.approx(margin, abs=1e-3)
        assert one.p_lie is not None
        assert (one.p_lie > 0.5) == (margin > 0)
    assert found[0].p_lie != found[3].p_lie


@pytest.mark.parametrize(("k", "lies"), [(0, "yes"), (1, "no"), (2, "no")])
def test_the_answer_to_the_follow_up_question_is_read(
    k: int, lies: str, tiny: LocalModel, tiny_dir: Path, tmp_path: Path
) -> None:
    server = LensServer(tiny)
    package = made("lr")
    file = write(package, tmp_path, QUESTIONS[k])
    lens = opened(server, tiny_dir)
    probe = PublishedProbe.open(lens, file)
    assert probe.question == QUESTIONS[k]
    found = probe.measure(BATCH)
    assert found[2].abstained == "empty response"
    asked = Message("user", QUESTIONS[k])
    for t, one in zip(BATCH, found, strict=True):
        if not t.response:
            continue
        chat = (*t.messages, asked)
        (said,) = lens.generate([chat], max_new_tokens=4)
        (state,) = tiny.hidden([lens.encode(chat, said.strip("."))], (2,))
        with torch.no_grad():
            margin = float(package(torch.tensor(state[0])).mean()) - 0.25
        assert one.answers["margin"] == pytest.approx(margin, abs=1e-3)
        assert one.answers["owned_up"] == (said.lower() == f"{lies}.")
    plain = PublishedProbe.open(lens, write(package, tmp_path / "plain"))
    assert plain.version != probe.version


def test_an_answer_that_is_neither_yes_nor_no_abstains(tiny: LocalModel, tmp_path: Path) -> None:
    """The tiny model writes no words at all."""
    probe = PublishedProbe.open(tiny, write(made("dim"), tmp_path, QUESTIONS[0]))
    found = probe.measure(BATCH[:2])
    assert [one.abstained for one in found] == ["the follow-up question got no yes or no"] * 2
    assert [one.p_lie for one in found] == [None, None]


def test_an_unknown_follow_up_question_is_refused(tmp_path: Path) -> None:
    file = write(made("dim"), tmp_path, "Was it so?")
    with pytest.raises(BadInputError, match=r"README.md: asks a follow-up question"):
        read_published(file)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_nothing_in_a_file_runs(tmp_path: Path) -> None:
    probe = made("dim")
    mark, file = tmp_path / "ran", tmp_path / "probe.pt"
    torch.save({"state_dict": probe.state_dict(), "hyperparams": {"layer": Evil(mark)}}, file)
    with pytest.raises(BadInputError, match="holds more than weights"):
        read_published(file)
    file.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(BadInputError, match="is no file of torch"):
        read_published(file)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("state", "told", "words"),
    [
        ({}, {"layer": 1}, "architecture"),
        ({}, {"layer": 1, "probe_architecture": "cnn"}, "architecture"),
        ({}, {"probe_architecture": "dim"}, "names no layer"),
        ({}, {"layer": -1, "probe_architecture": "dim"}, "names no layer"),
        ({}, {"layer": 1, "probe_architecture": "dim"}, "do not fit"),
        ({"direction": torch.full((4,), torch.nan)}, {}, "unset or not finite"),
        ({"direction": torch.ones(4, 4)}, {}, "do not fit"),
        ({"direction": torch.ones(4, dtype=torch.int64)}, {}, "no array of numbers"),
        ({"direction": "north"}, {}, "no array of numbers"),
        ({"direction": torch.ones(4), "net.0.bias": torch.ones(4)}, {}, "do not fit"),
    ],
)
def test_a_broken_file_is_named(
    state: dict[str, Any], told: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "probe.pt"
    told = told or {"layer": 1, "probe_architecture": "dim"}
    whole = {"threshold": torch.tensor(0.0), **state}
    torch.save({"state_dict": whole, "hyperparams": told}, file)
    with pytest.raises(BadInputError, match=words) as raised:
        read_published(file)
    assert str(file) in str(raised.value)


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.activation.published_file._MAX_BYTES", 1 << 20)
    file = tmp_path / "probe.pt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probe/data/0", bytes((1 << 20) + 1))
    assert file.stat().st_size < 1 << 12
    with pytest.raises(BadInputError, match="unpacks to more"):
        read_published(file)


def test_a_probe_of_another_model_is_refused(tiny: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"width 64; tiny.* has 3 of width 32"):
        open_activation(tiny, write(made("lr", 64), tmp_path))
    probe = made("lr")
    assert probe.hyperparams is not None
    probe.hyperparams.layer = 3
    with pytest.raises(BadInputError, match="reads block 4"):
        open_activation(tiny, write(probe, tmp_path))


def test_a_path_names_a_file_its_folder_or_an_artefact_of_ours(
    tiny: LocalModel, tmp_path: Path
) -> None:
    file = write(made("dim"), tmp_path)
    assert published_file(file) == published_file(tmp_path) == file
    assert precision(tmp_path) is None
    assert published_file(tmp_path / "none.pt") is None
    with pytest.raises(BadInputError, match="not a probe artefact"):
        open_activation(tiny, tmp_path / "none.pt")
    with pytest.raises(BadInputError, match="another reader"):
        open_activation(tiny, Path(ActivationProbe.open.__code__.co_filename).parent / "default")
