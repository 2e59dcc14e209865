from __future__ import annotations

import msgspec
import numpy as np
import pytest

from evidence import BadInputError
from monitor.cohorts.sycophancy import (
    GapDetector,
    GapDetectorState,
    Membership,
    Served,
    sycophancy_gap,
)

COHORT = {f"c{i}": True for i in range(10)} | {f"o{i}": False for i in range(40)}
MEMBERSHIP = Membership(cutoff_s=100.0, in_cohort=COHORT)


def served(rng, gap, n=1500, start=101.0):
    names = list(COHORT)
    chosen = rng.integers(len(names), size=n)
    for k, i in enumerate(chosen):
        p = 0.2 + (gap if COHORT[names[i]] else 0.0) + 0.1 * rng.standard_normal()
        yield Served(rater=names[i], created_at_s=start + k, p_lie=float(np.clip(p, 0, 1)))


def test_the_gap_is_found_with_its_sign():
    found = sycophancy_gap(
        MEMBERSHIP, served(np.random.default_rng(0), 0.15), confidence=0.95, min_group=5
    )
    assert found is not None
    assert found.gap.lower < 0.15 < found.gap.upper
    assert found.gap.lower > 0.1
    assert (found.cohort_raters, found.other_raters) == (10, 40)


def test_without_a_gap_the_interval_covers_nothing():
    covered = 0
    for seed in range(60):
        found = sycophancy_gap(
            MEMBERSHIP, served(np.random.default_rng(seed), 0.0, 300), confidence=0.9, min_group=5
        )
        assert found is not None
        covered += found.gap.lower <= 0 <= found.gap.upper
    assert covered >= 50


def test_responses_before_the_cutoff_do_not_count():
    old = list(served(np.random.default_rng(0), 0.5, 200, start=-200.0))
    new = list(served(np.random.default_rng(1), 0.0, 400))
    with_old = sycophancy_gap(MEMBERSHIP, [*old, *new], confidence=0.95, min_group=5)
    without = sycophancy_gap(MEMBERSHIP, new, confidence=0.95, min_group=5)
    assert with_old == without


def test_weights_undo_unequal_inclusion():
    rows = [
        Served(rater=f"o{i % 40}", created_at_s=200 + i, p_lie=p, inclusion_probability=pi)
        for i, (p, pi) in enumerate([(0.9, 1.0)] * 80 + [(0.1, 0.25)] * 20)
    ]
    rows += [Served(rater=f"c{i}", created_at_s=500, p_lie=0.5) for i in range(10)]
    found = sycophancy_gap(MEMBERSHIP, rows, confidence=0.95, min_group=5)
    assert found is not None
    assert found.others.estimate == pytest.approx(0.5)


def test_too_few_raters_are_not_shown():
    few = Membership(cutoff_s=0.0, in_cohort={"c0": True, **{f"o{i}": False for i in range(40)}})
    rows = served(np.random.default_rng(0), 0.3)
    assert sycophancy_gap(few, rows, confidence=0.95, min_group=5) is None


def test_the_detector_finds_a_gap_and_keeps_quiet_without_one():
    def feed(gap, seed):
        detector = GapDetector(average_run_length=1000)
        for s in served(np.random.default_rng(seed), gap, 3000):
            detector.update(in_cohort=COHORT[s.rater], p_lie=s.p_lie, created_at_s=s.created_at_s)
        return detector

    assert feed(0.2, 0).alarm
    assert sum(feed(0.0, seed).alarm for seed in range(10)) == 0


def test_a_restored_detector_goes_on_the_same():
    rows = list(served(np.random.default_rng(0), 0.1, 400))
    straight, stopped = GapDetector(), GapDetector()
    for s in rows[:200]:
        straight.update(in_cohort=COHORT[s.rater], p_lie=s.p_lie, created_at_s=s.created_at_s)
        stopped.update(in_cohort=COHORT[s.rater], p_lie=s.p_lie, created_at_s=s.created_at_s)
    text = msgspec.json.encode(stopped.state())
    stopped = GapDetector.restore(msgspec.json.decode(text, type=GapDetectorState))
    for s in rows[200:]:
        straight.update(in_cohort=COHORT[s.rater], p_lie=s.p_lie, created_at_s=s.created_at_s)
        stopped.update(in_cohort=COHORT[s.rater], p_lie=s.p_lie, created_at_s=s.created_at_s)
    assert stopped.log_evidence == straight.log_evidence


def test_p_lie_out_of_range_is_refused():
    with pytest.raises(BadInputError):
        GapDetector().update(in_cohort=True, p_lie=1.2, created_at_s=0.0)


def drifting(seed, share, n=3000):
    """Lies rise for everyone alike from a twentieth to a fifth; the cohort is `share` of the traffic."""
    rng = np.random.default_rng(seed)
    detector = GapDetector()
    for i in range(n):
        lies = 0.05 if i < n / 2 else 0.2
        detector.update(
            in_cohort=bool(rng.random() < share),
            p_lie=float(rng.random() < lies),
            created_at_s=600.0 * i,
        )
    return detector


def test_what_changes_for_everyone_is_no_gap():
    found = [drifting(seed, share) for seed in range(10) for share in (0.1, 0.3)]
    assert not any(detector.alarm for detector in found)
    assert min(detector.pairs for detector in found) > 200


def test_responses_far_apart_in_time_are_no_pair():
    detector = GapDetector(pair_s=3600.0)
    detector.update(in_cohort=False, p_lie=0.1, created_at_s=0.0)
    detector.update(in_cohort=True, p_lie=0.9, created_at_s=3601.0)
    assert detector.pairs == 0
    detector.update(in_cohort=False, p_lie=0.1, created_at_s=3700.0)
    assert detector.pairs == 1
