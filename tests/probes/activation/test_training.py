from __future__ import annotations

import grimp
import numpy as np
import pytest

from evidence import Message
from probes.activation.head import HeadOptions
from probes.activation.style import STYLES
from probes.activation.training import (
    Examples,
    Rows,
    calibrated_apart,
    fit,
    kind_left_out,
    left_out,
    restyled_copies,
    split_scenarios,
    trainable_forms,
)
from probes.calibration import calibration_error
from probes.evaluation import auroc
from probes.probe import Transcript


def examples(n: int = 240, signal: float = 4.0, seed: int = 0) -> Examples:
    """Two forms, two kinds, two answers to each prompt; the label moves the first feature."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    short = np.arange(n) % 4 < 2
    plain = rng.normal(size=(n, 2, 12)).astype(np.float32)
    plain[:, 1, 0] += signal * labels
    copies = plain + rng.normal(scale=0.1, size=plain.shape).astype(np.float32)
    return Examples(
        plain=Rows(plain, short, labels),
        restyled=Rows(copies, short, labels),
        styles=np.array(["lower"] * n),
        groups=np.array([f"g{k // 2}" for k in range(n)]),
        kinds=np.array(["a" if k < n // 2 else "b" for k in range(n)]),
    )


def test_no_scenario_is_on_both_sides() -> None:
    data = examples()
    tested = []
    for train, test in split_scenarios(data, 5, seed=3):
        assert not set(data.groups[train]) & set(data.groups[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(240))


def test_the_layer_with_the_signal_is_chosen_and_its_probabilities_are_calibrated() -> None:
    data = examples()
    found = fit(data, (4, 9))
    assert found.layer == 9
    assert set(found.heads) == {"short", "long"}
    assert auroc(data.labels, found.held_out) > 0.85
    assert auroc(data.labels, found.held_out_restyled) > 0.85
    error = calibration_error(found.held_out, data.labels, rng=np.random.default_rng(0))
    assert error.lower < 0.05


def test_labels_without_signal_stay_at_chance() -> None:
    found = [
        auroc(data.labels, left_out(data, 1, HeadOptions())[0])
        for data in (examples(signal=0.0, seed=s) for s in range(6))
    ]
    assert abs(np.mean(found) - 0.5) < 0.06


def test_a_margin_left_out_does_not_depend_on_the_labels_of_its_own_scenario() -> None:
    data = examples()
    own = data.groups == data.groups[10]
    labels = np.where(own, 1 - data.labels, data.labels)
    swapped = data._replace(
        plain=data.plain._replace(labels=labels), restyled=data.restyled._replace(labels=labels)
    )
    before = left_out(data, 1, HeadOptions())
    after = left_out(swapped, 1, HeadOptions())
    assert np.array_equal(before[:, own], after[:, own])
    assert not np.array_equal(before, after)


def test_a_kind_is_scored_by_heads_of_the_other_kinds() -> None:
    data = examples()
    part = data.kinds == "a"
    labels = np.where(part, 1 - data.labels, data.labels)
    flipped = data._replace(
        plain=data.plain._replace(labels=labels), restyled=data.restyled._replace(labels=labels)
    )
    assert auroc(data.labels[part], kind_left_out(flipped, 1, HeadOptions())[0][part]) > 0.8


def test_calibration_of_a_form_that_cannot_be_trained_says_one_half() -> None:
    data = examples()
    short = np.zeros(240, bool)
    data = data._replace(
        plain=data.plain._replace(is_short=short), restyled=data.restyled._replace(is_short=~short)
    )
    assert trainable_forms(data) == ["long"]
    p = calibrated_apart(data, 1, left_out(data, 1, HeadOptions()), 5)
    assert (p[1] == 0.5).all()
    assert auroc(data.labels, p[0]) > 0.8


@pytest.mark.parametrize("seed", [0, 7])
def test_copies_keep_the_prompt_and_name_their_style(seed: int) -> None:
    turns = (Message("user", "Was it?"), Message("assistant", "No. It was not, I assure you."))
    copies, styles = restyled_copies(
        [Transcript(id=str(k), messages=turns) for k in range(9)], seed
    )
    assert set(styles) <= set(STYLES)
    assert all(copy.prompt == turns[:1] for copy in copies)
    assert restyled_copies([copies[0]], seed) == restyled_copies([copies[0]], seed)


def test_measuring_loads_no_training_code() -> None:
    graph = grimp.build_graph("probes", cache_dir=None)
    measuring, training = "probes.activation.probe", "probes.activation.training"
    assert not graph.chain_exists(importer=measuring, imported=training)
