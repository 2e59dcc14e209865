"""Pictures are real PNG files that show what they are given."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from evidence.errors import BadInputError
from monitor.telemetry.pictures import EvidenceLine, Mark, ShareBand, draw_evidence, draw_share

BAND = ShareBand(
    name="honesty",
    times_s=[0.0, 3_600.0, 7_200.0],
    value=[0.9, float("nan"), 0.6],  # an hour without verdicts is a gap, no value
    lower=[0.85, float("nan"), 0.5],
    upper=[0.95, float("nan"), 0.7],
    worst=[0.8, 0.0, 0.4],
    best=[0.97, 1.0, 0.8],
)


def test_pictures_are_written_and_differ_with_their_content(tmp_path: Path) -> None:
    draw_share(BAND, tmp_path / "plain.png")
    draw_share(BAND, tmp_path / "marked.png", marks=[Mark(5_000.0, "alarm")])
    draw_evidence(
        [EvidenceLine("lie", [1, 2, 3], [0.1, 4.0, 9.5])],
        9.2,
        tmp_path / "evidence.png",
        marks=[Mark(3, "alarm")],
    )
    plain, marked = imread(tmp_path / "plain.png"), imread(tmp_path / "marked.png")
    assert plain.shape == marked.shape
    assert np.any(plain != marked)
    assert imread(tmp_path / "evidence.png").std() > 0.01


def test_nothing_to_draw_and_nowhere_to_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no evidence"):
        draw_evidence([], 9.2, tmp_path / "x.png")
    empty = ShareBand(name="honesty", times_s=[], value=[], lower=[], upper=[], worst=[], best=[])
    with pytest.raises(BadInputError, match="no honesty"):
        draw_share(empty, tmp_path / "x.png")
    with pytest.raises(BadInputError, match=r"absent"):
        draw_share(BAND, tmp_path / "absent" / "x.png")
