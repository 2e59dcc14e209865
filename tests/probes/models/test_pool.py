"""Panels that name the same folder share its model."""

from __future__ import annotations

from pathlib import Path

from probes.models.local import LocalModel
from probes.models.pool import ModelPool


def test_a_folder_is_loaded_once_however_it_is_named(tiny: LocalModel) -> None:
    pool = ModelPool()
    first = pool.local(tiny.path)
    assert pool.local(Path(f"{tiny.path}/../{tiny.path.name}")) is first
    assert pool.local(tiny.path, max_batch_tokens=64) is not first
    assert ModelPool().local(tiny.path) is not first
    assert first.digest == tiny.digest
    assert pool.embedder() is pool.embedder()
    assert pool.premises() is pool.premises()
