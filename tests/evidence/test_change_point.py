"""Since when: a bounded history and the interval of a rise's start at the moment of its alarm."""

import numpy as np
import pytest

from evidence.change_point import BLOCKS_PER_SIZE, Block, locate, push
from evidence.e_detector import EDetector


def test_history_keeps_every_score_in_logarithmic_space() -> None:
    rng = np.random.default_rng(61)
    scores = rng.random(5_000)
    blocks: list[Block] = []
    for i, score in enumerate(scores):
        push(blocks, 10 + 3 * i, 1e9 + i, score)
        assert len(blocks) <= (BLOCKS_PER_SIZE + 1) * (1 + np.log2(i + 1))
    assert sum(b.n for b in blocks) == len(scores)
    start = 0
    for block in blocks:
        assert block.position == 10 + 3 * start
        assert block.at_s == int(1e9 + start)
        assert block.total == pytest.approx(scores[start : start + block.n].sum())
        start += block.n
    sizes = [b.n for b in blocks]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


@pytest.mark.parametrize(("rate", "change"), [(0.4, 400), (0.2, 700)])
def test_interval_holds_the_start_of_the_rise(rate: float, change: int) -> None:
    rng = np.random.default_rng(62)
    held = []
    for _ in range(60):
        detector, blocks = EDetector(0.1, 5_000), []
        for t in range(change + 2_000):
            score = float(rng.random() < (rate if t >= change else 0.1))
            push(blocks, t, float(t), score)
            if detector.update(score):
                break
        if t < change:
            continue
        found = locate(blocks)
        assert found is not None
        assert found.lower <= found.position <= found.upper
        assert found.mean > 0.1
        held.append(found.lower <= change <= found.upper)
    assert len(held) > 45
    assert np.mean(held) >= 0.9 - 2 * np.sqrt(0.9 * 0.1 / len(held))


def test_no_rise_is_no_start() -> None:
    assert locate([]) is None
    assert locate([Block(3, 1.0, 1, 0)]) is None
    falling = [Block(1, 1.0, 1, 0), Block(1, 0.5, 2, 1), Block(1, 0.0, 3, 2)]
    assert locate(falling) is None
