"""The errors that every package raises on purpose; they live here because the guard stands alone."""

from __future__ import annotations


class CandorError(Exception):
    """Base of every error that Candor raises on purpose."""


class BadInputError(CandorError):
    """The input is wrong: exit code 2 or HTTP 4xx.

    Parameters
    ----------
    what
        One clear sentence without a trailing full stop.
    where
        File and line, field, topic position or setting; empty when `what` names it.
    """

    def __init__(self, what: str, where: str = "") -> None:
        self.what = what
        self.where = where
        super().__init__(f"{where}: {what}" if where else what)


class RefusedError(BadInputError):
    """A decision does not permit the training that was asked for: exit code 2, never 0.

    `code` is one of bad_signature, malformed, expired, not_yet_valid, revoked, not_released,
    other_rows, other_dataset, other_assistant, other_model, no_stamp, no_signature, other_weights.
    """

    def __init__(self, code: str, what: str, where: str = "") -> None:
        self.code = code
        super().__init__(f"{what} ({code})", where)
