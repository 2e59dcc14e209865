"""Measuring rows whose response has no verdict yet, before the gate decides about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from candor_guard.rows import Row
from evidence import BadInputError, Message
from probes.probe import Transcript
from probes.scorer import Scorer
from probes.visible import Visible, visible_acts
from retrain.context import GateContext, VerdictEvidence
from retrain.policy import Policy
from retrain.quarantine import Quarantine
from retrain.reason import Reason

MEASURED = "measured.json"
"""File of a confirm run with the verdicts of rows that it had to measure itself."""

_BATCH = 32


def unmeasured(rows: Iterable[Row], context: GateContext, policy: Policy) -> dict[str, Transcript]:
    """By their names in the context's verdicts: the texts of rows that only lack a verdict. Others are
    not worth measuring.

    A name stands for one text: rows whose text is another than the stored one are not among them.
    """
    quarantine = Quarantine(context, policy)
    found: dict[str, Transcript] = {}
    for row in rows:
        name = quarantine.measured_name(row)
        if name in found or quarantine.reason(row) is not Reason.UNMEASURED:
            continue
        found[name] = Transcript(
            id=name,
            messages=(*row.prompt_messages(), Message("assistant", row.response_text())),
            model=row.provenance.source_version or "",
            assistant=context.assistant,
        )
    return found


def measure(
    wanted: Mapping[str, Transcript],
    panel: Scorer,
    progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, VerdictEvidence]:
    """Verdicts of the responses by one panel; a failed measurement is a verdict `error`."""
    made: dict[str, VerdictEvidence] = {}
    todo = list(wanted.values())
    for start in range(0, len(todo), _BATCH):
        part = todo[start : start + _BATCH]
        for transcript, found in zip(part, panel.score(part), strict=True):
            made[transcript.id] = VerdictEvidence(
                found.kind,
                found.p_lie,
                visible_acts(found.measurements) is Visible.CONTRADICTED,
            )
        progress(len(made) / len(todo))
    return made


def with_measured(context: GateContext, made: Mapping[str, VerdictEvidence]) -> GateContext:
    """The context with further verdicts; one that it had already stays."""
    return msgspec.structs.replace(context, verdicts={**made, **context.verdicts})


def read_measured(folder: Path) -> dict[str, VerdictEvidence]:
    """What a confirm run measured; empty where it had nothing to. Raises BadInputError for a broken file."""
    path = folder / MEASURED
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, VerdictEvidence])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"not measured verdicts: {error}", str(path)) from error
