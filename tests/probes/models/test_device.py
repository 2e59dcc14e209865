"""Where a model in process is put: by what there is, what it takes, and what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError
from probes.models.device import Device, Hardware, Placement, Size, load_placed, model_size, place
from probes.models.local import LocalModel

GIB = 2**30
SMALL = Size(parameters=135_000_000, per_token=14_000)
CARD = Hardware(cuda=True, bf16=True, free_bytes=8 * GIB)


def placed(wanted: Device, hardware: Hardware, dtype: str | None = None) -> Placement:
    return place(wanted, hardware, SMALL, dtype=dtype, max_batch_tokens=2048)


def test_auto_takes_cuda_in_bfloat16_where_it_is_there() -> None:
    assert placed("auto", CARD) == Placement("cuda", "bfloat16", 65_536)
    assert placed("auto", CARD._replace(bf16=False)) == Placement("cuda", "float32", 65_536)
    assert placed("auto", Hardware()) == Placement("cpu", "float32", 2048)


def test_the_batch_is_what_the_free_memory_holds_beside_the_weights() -> None:
    free = CARD._replace(free_bytes=GIB)
    left = int((0.9 * GIB - 2 * SMALL.parameters) // (2 * SMALL.per_token))
    assert placed("auto", free).max_batch_tokens == left
    assert 2048 < left < 65_536
    wide = placed("auto", free, "float32").max_batch_tokens
    assert wide < left / 2, "float32 takes twice as much of weights and of states"


def test_a_model_that_does_not_fit_is_read_on_the_cpu_or_refused_by_name() -> None:
    full = CARD._replace(free_bytes=GIB // 4)
    assert placed("auto", full) == Placement("cpu", "float32", 2048)
    with pytest.raises(BadInputError, match=r"reader.device: the model takes 0.3 GiB.* 0.2 GiB"):
        placed("cuda", full)
    with pytest.raises(BadInputError, match=r"reader.device: .*no CUDA device"):
        placed("cuda", Hardware())


def test_the_precision_of_a_fitted_probe_is_kept() -> None:
    assert placed("auto", CARD, "float32").dtype == "float32"
    assert placed("cpu", CARD, "bfloat16") == Placement("cpu", "bfloat16", 2048)
    with pytest.raises(BadInputError, match="bfloat16"):
        placed("auto", CARD._replace(bf16=False), "bfloat16")


def test_the_size_is_read_from_the_files(tiny_dir: Path, tiny: LocalModel, tmp_path: Path) -> None:
    counted = sum(p.numel() for p in {id(p): p for p in tiny.model.parameters()}.values())
    assert model_size(tiny_dir) == Size(counted, 16 * 32 + 3 * 64)
    with pytest.raises(BadInputError, match="no model here"):
        model_size(tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(BadInputError, match="safetensors"):
        model_size(tmp_path)


def test_what_is_loaded_says_its_precision(tiny_dir: Path, tiny: LocalModel) -> None:
    exact, coarse = load_placed(tiny_dir, "auto"), load_placed(tiny_dir, "cpu", dtype="bfloat16")
    assert (exact.dtype, exact.digest) == ("float32", tiny.digest)
    assert coarse.dtype == "bfloat16"
    assert coarse.digest != tiny.digest, "another precision is another reader"
