"""The ways a command or request can fail that are not bugs."""

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


class MisconfiguredError(BadInputError):
    """A file or setting of whoever runs Candor is wrong: exit code 2, but HTTP 503, without saying where.

    The caller of a service can do nothing about it, and must not learn its paths.
    """


class UnreachableError(CandorError):
    """A dependency (broker, database, model server, file system) does not answer: exit code 3."""

    verb = "is unreachable:"

    def __init__(self, dependency: str, what: str) -> None:
        self.dependency = dependency
        super().__init__(f"{dependency} {self.verb} {what}")


class WrongAnswerError(UnreachableError):
    """A dependency answers, but with nothing that can be used: exit code 3 all the same."""

    verb = "answered"
