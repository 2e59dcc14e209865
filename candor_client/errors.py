"""What may go wrong, each by a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class ClientError(Exception):
    """The base of every error of this client."""


class UnreachableError(ClientError):
    """No answer came, however often it was tried."""


class UnreadableAnswerError(ClientError):
    """The answer is not that of a Candor API."""


class NoVerdictError(ClientError):
    """No verdict came in the time given: the response may not be in the sample, or still wait."""


class ApiError(ClientError):
    """The API answered with a problem (RFC 9457).

    Attributes
    ----------
    status
        HTTP status.
    detail
        One sentence of the API's.
    errors
        Pairs of field and message.
    taken
        Records of the same call that the API had taken before this problem.
    """

    def __init__(
        self, status: int, detail: str, errors: Sequence[tuple[str, str]] = (), *, taken: int = 0
    ) -> None:
        fields = "".join(f"; {field}: {message}" for field, message in errors)
        super().__init__(f"HTTP {status}: {detail}{fields}")
        self.status, self.detail, self.errors, self.taken = status, detail, tuple(errors), taken


class RefusedError(ApiError):
    """The request is wrong: 400, 413, 415, 421 or 422. Sending it again changes nothing."""


class UnauthorizedError(ApiError):
    """No key, or one that is not known: 401."""


class ForbiddenError(ApiError):
    """The key lacks the scope, or is not for this assistant: 403."""


class NotFoundError(ApiError):
    """There is nothing of this name, or the key may not see it: 404."""


class ConflictError(ApiError):
    """The step is not possible now, such as closing an alarm that nobody judged: 409."""


class OverloadedError(ApiError):
    """Too many requests (429), or the service cannot answer now (503), however often it was tried."""


class ServerError(ApiError):
    """Something failed inside the service: another 5xx."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: OverloadedError,
    502: OverloadedError,
    503: OverloadedError,
    504: OverloadedError,
}


def error_of(status: int) -> type[ApiError]:
    """The error for an HTTP status that is no success."""
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    return ServerError if status >= 500 else RefusedError
