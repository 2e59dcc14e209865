"""The rates of a time, whatever the order in which epochs are given."""

from __future__ import annotations

import itertools

import pytest

from evidence import BadInputError
from monitor.sample.epochs import Epochs, Rates

ALL = [Rates(0.0, 1.0, 1.0), Rates(100.0, 0.1, 0.5), Rates(200.0, 0.2, 0.6)]


def test_the_newest_epoch_that_had_begun_decides() -> None:
    for order in itertools.permutations(ALL):
        epochs = Epochs(order)
        for time_s, rates in ((-5.0, 0), (0.0, 0), (99.9, 0), (100.0, 1), (199.0, 1), (1e12, 2)):
            assert epochs.at(time_s) == ALL[rates]


def test_no_epoch_is_refused() -> None:
    with pytest.raises(BadInputError):
        Epochs([])
