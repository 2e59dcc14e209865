"""The ways a command or request can fail that are not bugs."""

from __future__ import annotations

from candor_guard.errors import BadInputError, CandorError

__all__ = [
    "BadInputError",
    "CandorError",
    "MisconfiguredError",
    "UnreachableError",
    "WrongAnswerError",
]


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
