"""A sensor: what `candor calibrate` fitted to one assistant, as a folder that all processes open."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from evidence import BadInputError
from evidence.records import Accuracy
from probes.approved import Reading
from probes.fusion import FusionModel
from probes.sensor.card import Card, as_markdown

SENSOR, CARD, TEXT, SUMS = "sensor.json", "card.json", "card.md", "SHA256SUMS"


class Sensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What measures one assistant.

    Parameters
    ----------
    assistant, approved
        The assistant, and the approved version that its belief is read from ("" without one).
    fusion
        From the probes to p_lie, for every set of them; with the versions that it was fitted to.
    reading
        From the approved version's surprise to p_lie; None where that probe is not among them.
    accuracy
        How often p_lie lies on the right side of one half (`evidence.prevalence`), on answers left out of the
        fit, with all its probes.
    prevalence
        Share of lies among the answers of the fit.
    """

    assistant: str
    approved: str
    fusion: FusionModel
    reading: Reading | None
    accuracy: Accuracy
    prevalence: float
    schema_version: int = 1


def write_sensor(folder: Path, sensor: Sensor, card: Card) -> None:
    """Write a sensor with its card and checksums. Raises BadInputError when it cannot be written."""
    files = {
        SENSOR: msgspec.json.format(msgspec.json.encode(sensor, order="deterministic")),
        CARD: msgspec.json.format(msgspec.json.encode(card, order="deterministic")),
        TEXT: as_markdown(card).encode(),
    }
    sums = "".join(f"{_sha256(data)}  {name}\n" for name, data in files.items())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in {**files, SUMS: sums.encode()}.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(folder)) from error


def read_sensor(folder: Path) -> tuple[Sensor, Card]:
    """Read a sensor and its card, their checksums verified.

    Raises BadInputError where there is none, or it was changed since it was written.
    """
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
        sums = {name: given for given, name in (line.split("  ", 1) for line in lines)}
        data = {name: (folder / name).read_bytes() for name in (SENSOR, CARD)}
        for name, content in data.items():
            if sums.get(name) != _sha256(content):
                raise BadInputError(f"{name} was changed after it was written", str(folder))
        return (
            msgspec.json.decode(data[SENSOR], type=Sensor),
            msgspec.json.decode(data[CARD], type=Card),
        )
    except OSError as error:
        raise BadInputError(
            f"no sensor here ({error.strerror}); make one with `candor calibrate`", str(folder)
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadInputError(f"not a sensor: {error}", str(folder)) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
