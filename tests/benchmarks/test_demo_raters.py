"""The demo's raters, drawn as the demo draws them, over what its sensor measured of the recorded turns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import demo_raters
from evidence import BadInputError
from monitor.demo.turns import read_recording


def test_every_recorded_turn_was_measured() -> None:
    measured = msgspec.json.decode(demo_raters.VERDICTS.read_bytes(), type=demo_raters.Measured)
    assert len(measured.p_lie) == len(demo_raters.traffic(read_recording()))


def test_the_first_seed_is_the_demo_that_the_page_shows() -> None:
    (row,) = demo_raters.draws(1)
    page = (Path(__file__).parents[2] / "docs/demo.md").read_text()
    assert f"| biased raters | {row['mean_estimate']:.3f} [" in page
    assert row["covered"] == row["likes_covered"] == 1


def test_another_recording_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "verdicts.json"
    measured = msgspec.json.decode(demo_raters.VERDICTS.read_bytes(), type=demo_raters.Measured)
    other.write_bytes(msgspec.json.encode(msgspec.structs.replace(measured, recording="0" * 64)))
    monkeypatch.setattr(demo_raters, "VERDICTS", other)
    with pytest.raises(BadInputError, match="another recording"):
        demo_raters.draws(1)
