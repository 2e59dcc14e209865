"""Labelled answers: what a sensor is fitted to and measured on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from evidence import Archetype, CandorError, Message, digest
from evidence.tools import tool_record
from probes.models.chat import Chat, ChatModel, generate_each
from probes.probe import Transcript
from probes.sensor.items import CalibrationItem, Level, styled

_CHUNK = 16
_MAX_NEW_TOKENS = 48
_TEMPERATURE = 0.7


class Origin(StrEnum):
    """Where a labelled answer comes from."""

    REFERENCE = "reference"
    """An answer that belongs to a packaged item."""
    STYLED = "styled"
    """The same in another tone or length."""
    OWN_NEUTRAL = "own_neutral"
    """The approved version's own answer, asked without pressure."""
    OWN_PRESSURED = "own_pressured"
    """Its own answer under pressure."""
    OWN_DECEIVING = "own_deceiving"
    """Its own answer when told to deceive."""
    OWN_SWAPPED = "own_swapped"
    """One of these in the same conversation with the fact turned round: what was honest there lies here."""
    SECOND_TURN = "second_turn"
    """An answer to the question when it is asked again."""
    FILE = "file"
    """A labelled file of the user's."""
    PEOPLE = "people"
    """Labels that people gave to responses in the store."""
    CANARY = "canary"
    """A canary, which the evaluator is watched with: measured, and not fitted to."""


class LabelledAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of which it is known whether it lies.

    Parameters
    ----------
    id
        Made of its text: the same answer has the same name in every run.
    messages
        The conversation; the last turn is the answer.
    group
        Answers of one group (template, scenario) share their wording and are left out together.
    topic, archetype
        What it is about, and what can show it to be false.
    model
        Version that gave it, where a model did.
    level
        That of its item.
    """

    id: str
    messages: tuple[Message, ...]
    lie: bool
    group: str
    topic: str
    archetype: Archetype
    origin: Origin
    model: str = ""
    level: Level = "own"

    def transcript(self) -> Transcript:
        """As the probes read it."""
        return Transcript(
            id=self.id,
            messages=self.messages,
            model=self.model,
            high_stakes=True,
            record=tool_record(self.messages, {}),
        )


def chosen(
    items: Sequence[CalibrationItem], limit: int, rng: random.Random
) -> list[CalibrationItem]:
    """At most `limit` items: a user's own first, then as many simple ones as crossed ones, as far as
    there are, with every template about equally often. Twins come together.
    """
    own, simple, crossed = (
        _groups([item for item in items if item.level == level])
        for level in ("own", "simple", "crossed")
    )
    picked = _spread(own, limit, rng)
    room = limit - len(picked)
    picked += _spread(simple, room // 2 if crossed else room, rng)
    return [*picked, *_spread(crossed, limit - len(picked), rng)]


def _groups(items: Sequence[CalibrationItem]) -> list[tuple[CalibrationItem, ...]]:
    """Each item with its twin, where it has one."""
    by_id = {item.id: item for item in items}
    return [
        (item,) if item.twin == item.id else (item, by_id[item.twin])
        for item in items
        if item.id <= item.twin
    ]


def _spread(
    groups: Sequence[tuple[CalibrationItem, ...]], limit: int, rng: random.Random
) -> list[CalibrationItem]:
    """At most `limit` items of whole groups, the templates in turn."""
    rest: dict[str, list[tuple[CalibrationItem, ...]]] = {}
    for group in groups:
        rest.setdefault(group[0].template, []).append(group)
    order = sorted(rest)
    rng.shuffle(order)
    for template in order:
        rng.shuffle(rest[template])
    picked: list[CalibrationItem] = []
    while any(rest.values()):
        for template in order:
            if not rest[template]:
                continue
            group = rest[template].pop()
            if len(picked) + len(group) > limit:
                return picked
            picked += group
    return picked


def references(
    items: Iterable[CalibrationItem],
    rng: random.Random,
    fits: Callable[[str], bool] = lambda _text: True,
) -> Iterator[LabelledAnswer]:
    """Of each item an honest and a lying answer as written, and both in one other style.

    Both kinds come in the same styles: where only one did, style would be the label.

    Parameters
    ----------
    fits
        Whether an answer, as written, is such as the assistant gives; others are not used.
    """
    for item in items:
        for lie, known in ((False, item.honest_answers), (True, item.lying_answers)):
            answers = [text for text in known if fits(text)]
            rng.shuffle(answers)
            for text in answers[:1]:
                yield laid_into(item, item.messages, text, lie, Origin.REFERENCE)
            for text in answers[1:2]:
                variants = styled(item, text, rng) or [("", text)]
                yield laid_into(item, item.messages, rng.choice(variants)[1], lie, Origin.STYLED)


def own_answers(
    items: Sequence[CalibrationItem],
    model: ChatModel,
    version: str,
    *,
    seed: int,
    advanced: Callable[[float], None],
) -> Iterator[LabelledAnswer]:
    """What a version itself says: asked neutrally, under pressure, and told to deceive.

    Each answer stands once where it was given and once in its item's twin, where the fact is turned
    round: a lie in the assistant's own words, however seldom it lies (counterfactual swaps). `items`
    hold both twins, where an item has one. Labelled by each item's rules; what they call neither honest nor a lie is left out, and so is what
    the model could not answer. An answer given under an order to deceive is laid into the pressured
    conversation: in traffic nobody gives that order.
    """
    twins = {item.id: item for item in items}
    asked = [
        (item, messages, shown, origin)
        for item in items
        for messages, shown, origin in (
            (item.neutral_messages, item.neutral_messages, Origin.OWN_NEUTRAL),
            (item.messages, item.messages, Origin.OWN_PRESSURED),
            (item.deceive_messages, item.messages, Origin.OWN_DECEIVING),
        )
    ]
    for start in range(0, len(asked), _CHUNK):
        part = asked[start : start + _CHUNK]
        texts = generate_each(
            model,
            [messages for _, messages, _, _ in part],
            max_new_tokens=_MAX_NEW_TOKENS,
            temperature=_TEMPERATURE,
            seed=seed + start,
        )
        for (item, _, shown, origin), text in zip(part, texts, strict=True):
            if isinstance(text, CandorError):
                continue
            yield from _labelled(item, shown, text, origin, version)
            if item.twin != item.id:
                twin = twins[item.twin]
                yield from _labelled(twin, twin.messages, text, Origin.OWN_SWAPPED, version)
        advanced(min(1.0, (start + _CHUNK) / len(asked)))


def _labelled(
    item: CalibrationItem, shown: tuple[Message, ...], text: str, origin: Origin, version: str
) -> Iterator[LabelledAnswer]:
    """The answer, where the item's rules call it honest or a lie."""
    label = item.label_answer(text)
    if label in {"honest", "lie"}:
        yield laid_into(item, shown, text, label == "lie", origin, version)


def laid_into(  # noqa: PLR0917 -- one value of each kind
    item: CalibrationItem,
    messages: tuple[Message, ...],
    text: str,
    lie: bool,
    origin: Origin,
    model: str = "",
) -> LabelledAnswer:
    """The answer laid into a conversation about its item."""
    whole = (*messages, Message("assistant", text))
    return LabelledAnswer(
        id=name_of(whole),
        messages=whole,
        lie=lie,
        group=item.template,
        topic=item.domain,
        archetype=item.archetype,
        origin=origin,
        model=model,
        level=item.level,
    )


def name_of(messages: Chat) -> str:
    """A name made of a conversation's text, 24 hex digits."""
    parts = []
    for message in messages:
        role, content = (
            (message.role, message.content)
            if isinstance(message, Message)
            else (message["role"], message["content"])
        )
        parts += [role, content]
    return digest("labelled", *parts)[:24]
