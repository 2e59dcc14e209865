"""Facts turned round: the same claim under a changed fact has another label."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from benchmarks.premise_training.pairs import Pair

_NUMBERS = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "fifteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_OPPOSITES = dict(
    pair.split("/")
    for pair in [
        "safe/unsafe",
        "passed/failed",
        "approved/rejected",
        "increased/decreased",
        "rose/fell",
        "won/lost",
        "open/closed",
        "legal/illegal",
        "true/false",
        "success/failure",
        "accepted/refused",
        "cheap/expensive",
        "profit/loss",
        "gained/lost",
        "early/late",
        "above/below",
        "before/after",
        "higher/lower",
        "more/fewer",
        "largest/smallest",
        "first/last",
        "present/absent",
        "always/never",
        "all/none",
        "hot/cold",
        "old/new",
        "long/short",
        "north/south",
        "east/west",
        "male/female",
        "rich/poor",
        "strong/weak",
        "easy/hard",
        "full/empty",
        "public/private",
        "allowed/forbidden",
        "included/excluded",
        "started/stopped",
        "arrived/departed",
        "bought/sold",
        "growing/shrinking",
        "best/worst",
        "good/bad",
        "healthy/sick",
        "clean/dirty",
        "alive/dead",
        "major/minor",
    ]
)
_OPPOSITES |= {second: first for first, second in _OPPOSITES.items()}
_COUNTABLE = re.compile(r"\b(\d[\d.,:]*\d|\d|" + "|".join((*_NUMBERS, *_MONTHS, *_DAYS)) + r")\b")
_VERB = r"is|are|was|were|will|can|could|should|has|have|had|would|does|did|do"
_AUXILIARY = re.compile(rf"\b({_VERB})\b(?! not\b|n't\b)", re.IGNORECASE)
_NEGATED = re.compile(rf"\b({_VERB}) not\b|\b({_VERB})n't\b")
_OPENERS = (
    "Yes, ",
    "I can confirm that ",
    "To be clear, ",
    "Our records say that ",
    "As far as I know, ",
)


def negated(text: str, rng: random.Random) -> str | None:
    """The text with its first negation taken out, else with one put in; None where neither is simple."""
    found = _NEGATED.search(text)
    if found:
        return text[: found.start()] + (found.group(1) or found.group(2)) + text[found.end() :]
    verb = _AUXILIARY.search(text)
    if verb is None or len(text.split()) > 25:
        return None
    word, rest = verb.group(1).lower(), text[verb.end() :]
    if word in {"do", "does", "did", "have", "has", "had"} and not re.match(
        r"\s+(been|\w+ed)\b", rest
    ):
        return None
    return (
        text[: verb.end()]
        + rng.choice(["n't", " not"] if word not in {"will", "can"} else [" not"])
        + rest
    )


def detail_turned(text: str, rng: random.Random) -> str | None:
    """The text with one number, month or weekday exchanged; None where it has none.

    >>> detail_turned("It rises in March.", random.Random(0)) != "It rises in March."
    True
    >>> detail_turned("It rises.", random.Random(0)) is None
    True
    """
    found = list(_COUNTABLE.finditer(text))
    return _exchanged(text, rng.choice(found), rng) if found else None


def swapped(text: str, rng: random.Random, beside: str | None = None) -> str | None:
    """The text with one number, month, weekday or opposite exchanged (one that stands in `beside` too)."""

    def there(word: str) -> bool:
        return beside is None or bool(re.search(rf"\b{re.escape(word)}\b", beside, re.IGNORECASE))

    counted = [m for m in _COUNTABLE.finditer(text) if there(m.group())]
    turned = [
        m
        for m in re.finditer(r"\b\w+\b", text)
        if m.group().lower() in _OPPOSITES and there(m.group())
    ]
    if counted and (not turned or rng.random() < 0.7):
        return _exchanged(text, rng.choice(counted), rng)
    if not turned:
        return None
    match = rng.choice(turned)
    new = _OPPOSITES[match.group().lower()]
    new = new.capitalize() if match.group()[0].isupper() else new
    return text[: match.start()] + new + text[match.end() :]


def _exchanged(text: str, match: re.Match[str], rng: random.Random) -> str | None:
    new = _other(match.group(), rng)
    return None if new is None else text[: match.start()] + new + text[match.end() :]


def _other(token: str, rng: random.Random) -> str | None:
    for family in (_NUMBERS, _MONTHS, _DAYS):
        if token in family:
            return rng.choice([word for word in family if word != token])
    places = [k for k, char in enumerate(token) if char.isdigit()]
    if not places:
        return None
    k = rng.choice(places)
    return token[:k] + rng.choice([d for d in "123456789" if d != token[k]]) + token[k + 1 :]


def turned_rows(pairs: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """Of entailed rows: the claim as it is, and with a shared number or opposite changed, or negated."""
    out = []
    for pair in pairs:
        if pair.label != 0 or pair.binary:
            continue
        changed = [swapped(pair.claim, rng, beside=pair.premise)]
        if rng.random() < 0.5:
            changed.append(negated(pair.claim, rng))
        for claim in filter(None, changed):
            out += [Pair(pair.premise, claim, 2), pair]
    return out


def turned_sentence(pool: Sequence[str], rng: random.Random) -> Pair:
    """One sentence or its change as the fact, now and then beside another, and either as the claim."""
    while True:
        sentence = rng.choice(pool)
        other = negated(sentence, rng) if rng.random() < 0.5 else swapped(sentence, rng)
        if not other or other == sentence:
            continue
        fact, turned = (sentence, other) if rng.random() < 0.5 else (other, sentence)
        same = rng.random() < 0.5
        claim, label = (fact, 0) if same else (turned, 2)
        if rng.random() < 0.15:
            fact, label = rng.choice(pool), 1
        elif rng.random() < 0.2:
            claim = rng.choice(_OPENERS) + claim[0].lower() + claim[1:]
        beside = [rng.choice(pool)] if rng.random() < 1 / 6 else []
        parts = [fact, *beside]
        rng.shuffle(parts)
        return Pair(" ".join(parts), claim, label)
