"""A confirm run as a job of a Ray cluster, with the same life as a local subprocess."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evidence import BadInputError, UnreachableError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_RECORD = "ray-job.json"
_ENDED = {"STOPPED", "SUCCEEDED", "FAILED"}


class _Submitted(msgspec.Struct, frozen=True):
    submission_id: str


class RayJob:
    """Submits the command of one run to `address`, finds it again after a restart, and follows it.

    The cluster's nodes see the run's directory and the model under the same paths. The job gets an
    environment of its own, not the launcher's: nothing but what Ray itself sets reaches it. With
    token authentication the client reads the token as Ray documents (`RAY_AUTH_TOKEN_PATH`).
    """

    def __init__(self, directory: Path, address: str) -> None:
        self._directory, self._address = directory, address
        self._client: JobSubmissionClient | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:  # noqa: ARG002
        """Submit; a job of this run that still lives is followed instead of started twice."""
        attempt = 1 + sum(1 for _ in self._directory.glob("ray-attempt-*"))
        (self._directory / f"ray-attempt-{attempt}").touch()
        submission = f"{self._directory.name}-{attempt}"
        variables = {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "PYTHONSAFEPATH": "1",
        }
        self._ask(
            lambda client: client.submit_job(
                entrypoint=shlex.join([*command, "--ray"]),
                submission_id=submission,
                runtime_env={"env_vars": variables},
                metadata={"run": self._directory.name},
            )
        )
        record = msgspec.json.encode(_Submitted(submission))
        (self._directory / _RECORD).write_bytes(record)

    def alive(self) -> bool:
        """Whether the cluster has not ended the job; one that it forgot is not alive."""
        submission = self._submission()
        if submission is None:
            return False
        status = self._ask(lambda client: _status(client, submission))
        return status is not None and status not in _ENDED

    def stop(self) -> None:
        """Ask the cluster to end the job, if it lives."""
        submission = self._submission()
        if submission is not None and self.alive():
            self._ask(lambda client: client.stop_job(submission))

    def log_tail(self, lines: int = 3) -> str:
        """The last lines of the job's output, for the error of a failed run."""
        submission = self._submission()
        if submission is None:
            return ""
        text = self._ask(lambda client: client.get_job_logs(submission))
        return " / ".join(str(text).strip().splitlines()[-lines:])[-600:]

    def _submission(self) -> str | None:
        try:
            found = msgspec.json.decode((self._directory / _RECORD).read_bytes(), type=_Submitted)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return found.submission_id

    def _ask(self, request: Callable[[Any], Any]) -> Any:
        """Raises UnreachableError when the cluster does not answer."""
        try:
            from ray.exceptions import RayError  # noqa: PLC0415 -- an extra
            from ray.job_submission import JobSubmissionClient  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise BadInputError("retrain.runner = ray needs the extra `ray`") from error
        try:
            if self._client is None:
                self._client = JobSubmissionClient(self._address)
            return request(self._client)
        except (ConnectionError, RuntimeError, OSError, RayError) as error:
            self._client = None
            reason = str(error).strip().partition("\n")[0]
            raise UnreachableError("Ray", reason) from error


def _status(client: Any, submission: str) -> str | None:
    """None for a job that the cluster does not know, such as after it was started anew."""
    known = {job.submission_id: str(job.status.value) for job in client.list_jobs()}
    return known.get(submission)
