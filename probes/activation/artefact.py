"""A fitted probe on disk: safetensors for arrays, skops for classifiers, a card, checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import skops.io
from safetensors.numpy import load_file, save_file

from candor_guard.files import file_sha256
from evidence import BadInputError, digest
from probes.activation.forms import Quality
from probes.activation.head import Head
from probes.activation.reader import View
from probes.activation.topics import Curve, Topics
from probes.calibration import Monotone, Platt

CARD, ARRAYS = "card.json", "heads.safetensors"
DEFAULT = Path(__file__).parent / "default"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What the artefact is, what it was trained on and how good it is where it was not.

    `view` says which features the heads read; a card without one is of the first schema. `dtype` is
    the precision that the reader's states were computed in: another one is another reader.
    `by_topic` holds for each form and topic a line on the log-odds of `calibration`.
    `noise_floor` is the largest difference in p_lie between a text measured in a batch and the same
    text alone, over `noise_n` training transcripts. `group_hashes` are the first 8 digits of the scenarios it was trained on: enough to warn that a
    file to be scored was trained on, too little to read anything back.
    """

    reader: str
    reader_digest: str
    layer: int
    max_tokens: int
    n_train: int
    prevalence: float
    source: str
    quality: dict[str, Quality]
    by_kind: dict[str, Quality]
    layer_auroc: dict[str, float]
    calibration: dict[str, Monotone]
    limit: dict[str, float]
    group_hashes: tuple[str, ...]
    view: View = "mean_last"
    by_topic: dict[str, tuple[Platt, ...]] = {}
    dtype: str = "float32"
    noise_floor: float | None = None
    noise_n: int = 0
    sha256: dict[str, str] = {}
    schema_version: int = 1


class Artefact(NamedTuple):
    """A loaded probe: its card, its heads by form, and the digest of all its files."""

    card: Card
    heads: dict[str, Head]
    version: str


def save(directory: Path, card: Card, heads: dict[str, Head]) -> None:
    """Write an artefact folder; nothing in it is a pickle."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    names = [ARRAYS]
    for form, head in heads.items():
        for name in ("centre", "scale", "axes", "spread"):
            # safetensors writes memory as it lies, so a transposed array would come back scrambled
            arrays[f"{form}.{name}"] = np.ascontiguousarray(getattr(head, name))
        if head.topics:
            for name, array in head.topics._asdict().items():
                arrays[f"topics.{name}"] = np.ascontiguousarray(array)
        skops.io.dump(head.classifier, directory / f"{form}.skops")
        names.append(f"{form}.skops")
    save_file(arrays, directory / ARRAYS)
    sums = {name: file_sha256(directory / name) for name in names}
    write_card(directory, msgspec.structs.replace(card, sha256=sums))


def write_card(directory: Path, card: Card) -> None:
    """Write the card alone; its checksums must be those of the files beside it."""
    text = msgspec.json.format(msgspec.json.encode(card), indent=1)
    (directory / CARD).write_bytes(text + b"\n")


def load_card(directory: Path) -> Card:
    """Read the card alone. Raises BadInputError when the folder is no probe artefact."""
    try:
        return msgspec.json.decode((directory / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInputError(f"not a probe artefact: {error}", str(directory)) from error


def load(directory: Path = DEFAULT) -> Artefact:
    """Read an artefact after its checksums were checked; a type skops does not trust is refused."""
    card = load_card(directory)
    for name, expected in card.sha256.items():
        path = directory / Path(name).name
        if not path.is_file() or file_sha256(path) != expected:
            raise BadInputError("differs from the checksum in its card", str(path))
    try:
        arrays = load_file(directory / ARRAYS)
        heads = {form: _head(directory, card, form, arrays) for form in sorted(card.calibration)}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BadInputError(f"not a probe artefact: {error}", str(directory)) from error
    return Artefact(card, heads, _version(card))


def _version(card: Card) -> str:
    """Digest of the card, which holds the checksums; its reader's digest already knows the precision."""
    fields = msgspec.to_builtins(card)
    del fields["dtype"]
    return digest(msgspec.json.encode(fields, order="sorted"))[:16]


def _head(directory: Path, card: Card, form: str, arrays: dict[str, Any]) -> Head:
    if f"{form}.skops" not in card.sha256 or ARRAYS not in card.sha256:
        raise BadInputError("its card lists no checksum for its files", str(directory))
    return Head(
        centre=arrays[f"{form}.centre"],
        scale=arrays[f"{form}.scale"],
        axes=arrays[f"{form}.axes"],
        spread=arrays[f"{form}.spread"],
        classifier=skops.io.load(directory / f"{form}.skops", trusted=[]),
        calibrate=Curve(card.calibration[form], card.by_topic.get(form, ())),
        limit=card.limit[form],
        topics=_topics(card, form, arrays),
    )


def _topics(card: Card, form: str, arrays: dict[str, Any]) -> Topics | None:
    lines = card.by_topic.get(form)
    if not lines:
        return None
    topics = Topics(*(arrays[f"topics.{name}"] for name in Topics._fields))
    if len(topics.centres) != len(lines):
        raise ValueError(f"{len(lines)} lines for {len(topics.centres)} topics")
    return topics
