"""Cohen's kappa against published figures, and its interval against draws."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.agreement import cohens_kappa


def test_a_textbook_table() -> None:
    # Two readers of 50 grant proposals: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no; kappa is 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = cohens_kappa(pairs)
    assert (found.n, found.agreed) == (50, 35)
    assert found.kappa == pytest.approx(0.4)
    assert found.lower is not None
    assert found.upper is not None
    # Fleiss, Cohen and Everitt's standard error, cell by cell: 0.12700.
    assert (found.upper - found.lower) / 2 == pytest.approx(1.96 * 0.12700, abs=1e-4)


def test_where_nothing_can_be_said() -> None:
    assert cohens_kappa([]).kappa is None
    assert cohens_kappa([("a", "a")] * 9).kappa is None
    opposed = cohens_kappa([("a", "b"), ("b", "a")] * 5)
    assert opposed.kappa == pytest.approx(-1.0)


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(5)
    truth, covered = 0.5, 0
    for _ in range(400):
        first = rng.integers(0, 2, 120)
        second = np.where(rng.random(120) < truth, first, rng.integers(0, 2, 120))
        found = cohens_kappa([(str(a), str(b)) for a, b in zip(first, second, strict=True)])
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= truth <= found.upper
    assert 0.91 <= covered / 400 <= 0.985
