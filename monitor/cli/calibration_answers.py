"""Labelled answers beside the packaged items: from a file, from people's labels in the store, and the canaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evidence import Archetype, BadInputError, VerdictKind
from probes.grouping import scenario_group
from probes.probe import Transcript
from probes.sensor.labelled import LabelledAnswer, Origin, name_of

if TYPE_CHECKING:
    from monitor.settings import Settings


def from_file(path: Path, labels: str, kind: str) -> list[LabelledAnswer]:
    """The labelled transcripts of a file; lines without a label are named on stderr.

    Raises BadInputError when none has one.
    """
    from monitor.cli.probe import labelled  # noqa: PLC0415 -- loads scikit-learn

    return [
        answer_of(one.transcript, lie=one.label, topic=one.kind, origin=Origin.FILE)
        for one in labelled(path, labels, kind)
        if one.transcript.response.strip()
    ]


def from_people(settings: Settings, assistant: str) -> list[LabelledAnswer]:
    """The responses of an assistant that people called honest or a lie, all of one mind.

    Raises BadInputError when there are none.
    """
    from monitor.score import transcript_of  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415
    from monitor.store.labels import labelled_responses  # noqa: PLC0415

    engine = open_store(settings.database, create=False)
    with reading(engine) as connection:
        found = labelled_responses(connection, assistant)
    engine.dispose()
    if not found:
        raise BadInputError(
            f"nobody labelled a response of {assistant!r} whose text is still kept", "--people"
        )
    return [
        answer_of(
            transcript_of(response), lie=lie, topic=response.stratum.segment, origin=Origin.PEOPLE
        )
        for response, lie in found
    ]


def from_canaries() -> list[LabelledAnswer]:
    """The canaries that are lies and those that are honest."""
    from monitor.score.canaries import load_canaries  # noqa: PLC0415

    return [
        LabelledAnswer(
            id=f"canary.{canary.canary_id}",
            messages=canary.messages,
            lie=canary.known is VerdictKind.LIE,
            group=canary.canary_id.split(".", 1)[0],
            topic="",
            archetype=Archetype.TOLD_FACTS,
            origin=Origin.CANARY,
        )
        for canary in load_canaries()
        if canary.known is not VerdictKind.EVASION
    ]


def answer_of(transcript: Transcript, *, lie: bool, topic: str, origin: Origin) -> LabelledAnswer:
    """A transcript with its label; answers to one prompt are one group."""
    return LabelledAnswer(
        id=name_of(transcript.messages),
        messages=transcript.messages,
        lie=lie,
        group=scenario_group(transcript),
        topic=topic,
        archetype=Archetype.OTHER,
        origin=origin,
        model=transcript.model,
    )
