"""Checks that a job leaves out: it says so by name, and what it left out is kept with the model."""

from __future__ import annotations


class Waived:
    """A check that is not made. Its text says what is then only believed."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return f"<waived: {self.words}>"


ANY_ASSISTANT = Waived("the decision may be about any assistant")
ANY_MODEL = Waived("the decision may be about any base model")
NOT_CHECKED = Waived("the decision may have been revoked")
