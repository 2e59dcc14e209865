"""Where each assistant's sensor is, and making it before a process watches."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evidence import BadInputError
from monitor.assistants import made_sensor

if TYPE_CHECKING:
    from monitor.settings import Settings
    from probes.models.chat import Progress

log = logging.getLogger(__name__)

_MARK = "sensor.json"


def sensor_folder(settings: Settings, assistant: str | None) -> Path | None:
    """The folder of a sensor that is there: the configured one, else where it is made without one.

    A configured folder is named even where it is missing, so that opening it says so.
    """
    own = settings.assistant_of(assistant).sensor
    if own is not None:
        return own
    made = made_sensor(assistant)
    return made if needs_sensor(settings, assistant) and (made / _MARK).is_file() else None


def needs_sensor(settings: Settings, assistant: str | None) -> bool:
    """Whether the shipped fusion does not know the assistant's probes, and no fitted one is configured."""
    own, judge, reader = (
        settings.assistant_of(assistant),
        settings.judge_of(assistant),
        settings.reader,
    )
    if reader.fusion_file is not None:
        return False
    shipped = own.probes in {(), ("activation",)} and reader.probe_dir is None
    return not shipped or any((own.approved, own.url, judge.url))


def make_missing(
    settings: Settings, approved: Mapping[str, str], *, progress: Progress | None = None
) -> None:
    """Calibrate every assistant that needs a sensor and has none; processes at once wait for one.

    `approved` are the versions that were approved in the store, by assistant. Raises as `make_sensor` does.
    """
    from monitor.cli.calibrate import make_sensor  # noqa: PLC0415 -- loads torch

    for name in (None, *sorted(settings.assistants)):
        folder = settings.assistant_of(name).sensor or made_sensor(name)
        if not needs_sensor(settings, name) or (folder / _MARK).is_file():
            continue
        with _alone(folder):
            if not (folder / _MARK).is_file():
                log.info("no sensor in %s yet: calibrating", folder)
                make_sensor(settings, name or "", folder, approved=approved, progress=progress)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of this machine is in here for the same folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(folder)) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
