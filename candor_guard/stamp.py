"""The stamp of trained weights: which decision released their rows, and which files were stamped.

The decision's envelope is in it as it was signed, so that it is verified offline. The stamp itself is the
training job's word: a job holds no key of the gate.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from candor_guard.decision import VerifiedDecision, verify
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.files import file_sha256

if TYPE_CHECKING:
    from candor_guard.guarded import GuardedRows

STAMP = "candor-attestation.json"
_WEIGHTS = (
    "*.safetensors",
    "*.gguf",
    "pytorch_model*.bin",
    "adapter_model*.bin",
    "consolidated*.pth",
)
_BEGIN, _END = "<!-- candor-attestation -->", "<!-- /candor-attestation -->"


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside the weights.

    Parameters
    ----------
    decision_id, assistant, subject_digest, key_id
        Of the decision, for whoever reads the file; what counts is `envelope`.
    overridden
        Whether a person released the rows and not the gate.
    envelope
        The decision's envelope as it was signed.
    rows, released_rows
        Rows that were trained, of so many released.
    steps
        Training steps so far.
    not_checked
        What the job left out, in words.
    stamped_at_s
        Seconds since the epoch, UTC; the decision was valid then.
    weights
        SHA-256 of each file of weights in the folder.
    """

    decision_id: str
    assistant: str
    subject_digest: str
    key_id: str
    overridden: bool
    envelope: str
    rows: int
    released_rows: int
    steps: int
    not_checked: tuple[str, ...]
    stamped_at_s: float
    weights: dict[str, str] = {}
    schema_version: int = 1


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of weights whose stamp is valid."""

    decision: VerifiedDecision
    stamp: Stamp


def stamp_of(guarded: GuardedRows, *, rows: int, steps: int) -> Stamp:
    """The stamp of a training on `rows` of the guarded ones, now, before any weights are named."""
    decision = guarded.decision
    return Stamp(
        decision_id=decision.decision_id,
        assistant=decision.assistant,
        subject_digest=decision.subject_digest,
        key_id=decision.key_id,
        overridden=decision.overridden,
        envelope=guarded.envelope.decode(),
        rows=rows,
        released_rows=len(guarded),
        steps=steps,
        not_checked=guarded.waived,
        stamped_at_s=guarded.checked_at_s,
    )


def write_stamp(folder: Path, stamp: Stamp) -> Path:
    """Write the stamp of the weights in `folder`, and a section of its README.md where there is one."""
    stamp = msgspec.structs.replace(stamp, weights=_weights(folder))
    path = folder / STAMP
    partial = folder / f".{STAMP}.{os.getpid()}"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(stamp)))
    partial.replace(path)
    card = folder / "README.md"
    if card.is_file():
        card.write_text(_with_section(card.read_text(encoding="utf-8"), stamp), encoding="utf-8")
    return path


def attest(
    folder: Path | str, key: Path | str | bytes, *, revoked: Collection[str] = ()
) -> Attested:
    """The valid stamp of the weights in `folder`, or RefusedError.

    Its code is `no_stamp`, `other_weights` (files that were not stamped, changed or missing), or what
    `verify` finds. A decision that has expired since is still one: it was valid at the stamp's time.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError("no such folder", str(folder))
    path = folder / STAMP
    try:
        stamp = msgspec.json.decode(path.read_bytes(), type=Stamp)
    except FileNotFoundError as error:
        raise RefusedError("no_stamp", "the weights have no stamp", str(folder)) from error
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise RefusedError("malformed", f"not a stamp: {error}", str(path)) from error
    if stamp.stamped_at_s > time.time() + 300:
        raise RefusedError("not_yet_valid", "the stamp is from the future", str(path))
    decision = verify(
        stamp.envelope, key, now_s=stamp.stamped_at_s, revoked=revoked, where=str(path)
    )
    told = (stamp.decision_id, stamp.assistant, stamp.subject_digest, stamp.key_id)
    signed = (decision.decision_id, decision.assistant, decision.subject_digest, decision.key_id)
    if told != signed or stamp.overridden != decision.overridden:
        raise RefusedError("malformed", "the stamp says other than its decision", str(path))
    found = _weights(folder)
    if not found:
        raise RefusedError("other_weights", "the folder holds no weights", str(folder))
    if found != stamp.weights:
        names = found.keys() ^ stamp.weights.keys() or {
            name for name, digest in found.items() if stamp.weights[name] != digest
        }
        raise RefusedError(
            "other_weights", f"not the weights that were stamped: {min(names)}", str(folder)
        )
    return Attested(decision=decision, stamp=stamp)


def _weights(folder: Path) -> dict[str, str]:
    files = {path for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file()}
    return {path.name: file_sha256(path) for path in sorted(files)}


def _with_section(card: str, stamp: Stamp) -> str:
    kind = "a person's override of the gate" if stamp.overridden else "the gate"
    trained = (
        f"Trained on {stamp.rows} of {stamp.released_rows} rows that {kind} released for the "
        f"assistant `{stamp.assistant}`."
    )
    section = "\n".join(
        (
            _BEGIN,
            "## Training rows",
            "",
            trained,
            "",
            f"- decision `{stamp.decision_id}`",
            f"- rows `sha256:{stamp.subject_digest}`",
            f"- key `{stamp.key_id}`",
            *(f"- not checked: {words}" for words in stamp.not_checked),
            "",
            f"`candor gate attest` verifies `{STAMP}`.",
            _END,
        )
    )
    rest = re.sub(re.escape(_BEGIN) + ".*?" + re.escape(_END), "", card, flags=re.DOTALL)
    return rest.rstrip() + "\n\n" + section + "\n"
