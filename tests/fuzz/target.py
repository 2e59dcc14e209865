"""What a file in `targets/` defines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz.choices import Choices


class Target(NamedTuple):
    """What is fed, and what must hold of it.

    Parameters
    ----------
    make
        An input out of choices.
    check
        Takes an input and returns what became of it; whatever it raises is a find.
    """

    name: str
    make: Callable[[Choices], bytes]
    check: Callable[[bytes], str]
