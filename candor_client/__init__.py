"""A client of Candor's API, sync and async: send responses and feedback, read verdicts, alarms and decisions.

It needs `httpx` and `msgspec`, and nothing else of Candor.

>>> from candor_client import Client, Response
>>> client = Client("http://127.0.0.1:8321", api_key="candor_secret")
"""

from candor_client.aio import AsyncClient
from candor_client.client import Client
from candor_client.errors import (
    ClientError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NoVerdictError,
    OverloadedError,
    RefusedError,
    ServerError,
    UnauthorizedError,
    UnreachableError,
    UnreadableAnswerError,
)
from candor_client.recorder import Recorder
from candor_client.retry import Retry
from candor_client.values import (
    Alarm,
    AlarmPage,
    Answer,
    Decision,
    DecisionPage,
    Feedback,
    Gate,
    GateAnswer,
    Honesty,
    Response,
    Source,
    Verdict,
    VerdictPage,
)

__all__ = [
    "Alarm",
    "AlarmPage",
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "ConflictError",
    "Decision",
    "DecisionPage",
    "Feedback",
    "ForbiddenError",
    "Gate",
    "GateAnswer",
    "Honesty",
    "NoVerdictError",
    "NotFoundError",
    "OverloadedError",
    "Recorder",
    "RefusedError",
    "Response",
    "Retry",
    "ServerError",
    "Source",
    "UnauthorizedError",
    "UnreachableError",
    "UnreadableAnswerError",
    "Verdict",
    "VerdictPage",
]
