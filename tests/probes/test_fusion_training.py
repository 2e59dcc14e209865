from __future__ import annotations

import numpy as np
import pytest

from evidence import BadInputError, Measurement
from probes.calibration import calibration_error
from probes.fusion import Fusion
from probes.fusion_training import fit_fusion


def drawn(n: int, seed: int) -> tuple[list[dict[str, float]], list[bool], list[str]]:
    """Two probes with independent Gaussian evidence, one of them overconfident; one in three lacks it."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.4
    good = rng.normal(size=n) + 2.0 * label - 1.0
    loud = 3.0 * (rng.normal(size=n) + label - 0.5)
    rows = []
    for k in range(n):
        row = {"activation": float(1 / (1 + np.exp(-good[k])))}
        if k % 3:
            row["judge"] = float(1 / (1 + np.exp(-loud[k])))
        rows.append(row)
    return rows, [bool(x) for x in label], [str(k // 2) for k in range(n)]


def test_every_set_that_ran_is_calibrated_on_new_data() -> None:
    fusion = Fusion(fit_fusion(*drawn(3000, 0), versions={"activation": "1"}))
    assert set(fusion.model.subsets) == {"activation", "judge", "activation+judge"}
    both = fusion.model.subsets["activation+judge"]
    assert both.auroc > fusion.model.subsets["activation"].auroc
    assert both.weights["activation"] > 3 * both.weights["judge"] > 0
    rows, labels, _ = drawn(3000, 1)
    p = []
    for row in rows:
        found = [Measurement(probe=name, version="1", p_lie=value) for name, value in row.items()]
        p.append(fusion.read(found).p_lie)
    error = calibration_error(p, labels, rng=np.random.default_rng(0), draws=20)  # type: ignore[arg-type]
    assert error.estimate < 0.03


def test_too_few_scenarios_are_refused() -> None:
    rows, labels, _ = drawn(400, 0)
    with pytest.raises(BadInputError, match="5 scenarios"):
        fit_fusion(rows, labels, ["one"] * 400, versions={})


def test_too_few_rows_are_refused() -> None:
    rows, labels, groups = drawn(60, 0)
    with pytest.raises(BadInputError, match="100"):
        fit_fusion(rows, labels, groups, versions={})
