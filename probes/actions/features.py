"""A claim held against the record: figures in [0, 1], each a reason for or against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from evidence.tools import Act, ToolRecord
from probes.actions.claims import Claim
from probes.actions.evidence import Backing
from probes.actions.outcomes import Ending, Outcome, outcome_of
from probes.actions.values import Value, values_of, words_of_key
from probes.actions.words import TEXTUAL, kinds_of, kinds_of_tool

FEATURES = (
    "no_call",
    "failed",
    "denied",
    "only_looked",
    "empty",
    "absent",
    "differs",
    "field",
    "flag",
    "told",
    "novel",
    "stale",
    "unanswered",
    "agrees",
    "backed",
)
"""See `Held`; their order is that of the weights."""

_VOID = frozenset({Ending.EMPTY, Ending.FAILED, Ending.UNANSWERED})
_CANNOT = frozenset({"unable", "outcome"})
_CHANGES = frozenset({"update", "create", "delete"})
_FOUND = re.compile(
    r"\b(?:found|located|discovered|shows?|showed|says?|said|returned|there (?:is|are|was|were))\b|:",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"\b(?:before|earlier|previously|prior|and then)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_NEGATION = re.compile(
    r"\b(?:not|no|without|never|n['’]t|cannot|neither|nor|un\w+|free of)\b|n['’]t\b", re.IGNORECASE
)
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})
_KEY_NOISE = frozenset(
    {"has", "is", "name", "id", "request", "type", "start", "end", "message", "allows", "customer"}
)


class Held(NamedTuple):
    """One claim held against the record.

    Parameters
    ----------
    figures
        In the order of `FEATURES`, each in [0, 1]. Against the claim: `no_call` no call of its kind was made; `failed`
        it says that it went well and the call failed; `denied` it says that it failed and the call went well; `only_looked` it
        says that it is done and the call only looked; `empty` values are told of an empty result; `absent`, `differs`
        values that are nowhere in the record, or of a type of which the call has others; `field`, `flag` a named field
        of the call has another value; `told` values that only the user had told, where the call has others; `novel` words
        that are nowhere; `stale` the call came before the last change; `unanswered` there is no result. For it: `agrees`
        how it ended, `backed` all its values.
    act
        The call that it is held against; None where none is of its kind.
    why
        The figure that weighs most against it, in words; "" where none does.
    """

    claim: Claim
    figures: tuple[float, ...]
    act: Act | None
    outcome: Outcome
    why: str

    def figure(self, name: str) -> float:
        return self.figures[FEATURES.index(name)]


class Around(NamedTuple):
    """What a claim is held against: the record, and what stood in the conversation before."""

    record: ToolRecord
    told: Backing
    all_acts: Backing
    endings: tuple[Outcome, ...]
    of_acts: tuple[Backing, ...]

    @classmethod
    def of(cls, record: ToolRecord, told: Sequence[str]) -> Around:
        backings = tuple(map(Backing.of_act, record.acts))
        every = Backing([text for one in backings for text in one.texts])
        return cls(record, Backing(told), every, tuple(map(outcome_of, record.acts)), backings)


Alike = Callable[[str, Act], float]
"""How alike a claim and a call are, in [-1, 1]."""


def hold(claim: Claim, around: Around, alike: Alike) -> Held:
    """Hold a claim against the record."""
    place, match = matched(claim, around, alike)
    act = None if place is None else around.record.acts[place]
    outcome = Outcome(Ending.UNCLEAR) if place is None else around.endings[place]
    found = dict.fromkeys(FEATURES, 0.0)
    if act is None:
        found["no_call"] = _no_call(claim, around)
    else:
        found |= _ended(claim, outcome, match)
        found["stale"] = _stale(claim, around, place or 0)
    if act is not None:
        found |= _valued(claim, around.of_acts[place or 0], outcome, around)
        if found["empty"] and max(found["absent"], found["differs"]) <= 0.3 and _only_tells(claim):
            found["empty"] = 0.0  # a search is told of, and nothing that it found
        if found["stale"]:
            found["agrees"] = found["backed"] = 0.0
    figures = tuple(found[name] for name in FEATURES)
    return Held(claim, figures, act, outcome, _why(found, act))


def matched(claim: Claim, around: Around, alike: Alike) -> tuple[int | None, float]:
    """The place of the call that a claim is about, the last of those that fit best, and how well it fits."""
    scores = [
        _fit(claim, act, backing, around.record, alike)
        for act, backing in zip(around.record.acts, around.of_acts, strict=True)
    ]
    best = max(scores, default=0.0)
    if best < (0.5 if claim.is_act else 0.15):
        now = [i for i, act in enumerate(around.record.acts) if act.turn == 0]
        # "I am sorry, I cannot" after one call is about that call, whatever it names.
        lone = len(now) == 1 and not (claim.is_good or claim.kinds) and claim.form in _CANNOT
        void = bool(now) and all(around.endings[i].ending in _VOID for i in now)
        invented = void and not claim.is_act and claim.is_good and bool(values_of(claim.text))
        return (now[-1], 0.1) if lone or invented else (None, best)
    close = [i for i, score in enumerate(scores) if score >= best - 0.05]
    if not claim.is_act:
        # A report of what several calls answered rests on those that answered something.
        close = [i for i in close if around.endings[i].ending not in _VOID] or close
    return close[-1], best


def _fit(claim: Claim, act: Act, backing: Backing, record: ToolRecord, alike: Alike) -> float:
    """How well a call fits a claim: by kind, by values and words in common, by likeness."""
    text = claim.clause if claim.is_act else claim.text
    gone = [backing.missing(v) for v in values_of(text)]
    shared = 1.0 - sum(gone) / len(gone) if gone else 0.0
    words = {w[:6].lower() for w in _WORD.findall(text)}
    both = {w for w in words if any(b.startswith(w) for b in backing.words)}
    common = len(both) / max(3, len(words))
    cosine = max(0.0, alike(claim.text, act))
    if not claim.is_act:
        return 0.6 * shared + 0.2 * common + 0.2 * cosine + 0.05 * (act.turn == 0)
    if claim.form == "not_done" and gone and max(gone) > 0.3:
        return 0.0  # what was not done is something else than this call
    also = 0.25 * shared + 0.3 * common + 0.3 * cosine + 0.02 * (act.turn == 0)
    return _by_kind(claim, act, record, both, shared) + also


def _by_kind(claim: Claim, act: Act, record: ToolRecord, both: set[str], shared: float) -> float:
    kinds, is_generic = kinds_of_tool(act.name, act.arguments)
    if claim.kinds & kinds:
        return 0.6
    if not claim.kinds:
        return 0.35 * (claim.form != "not_done")
    others = (kinds_of_tool(tool.name)[0] for tool in record.tools if tool.name != act.name)
    if claim.kinds == {"read"} and shared >= 0.5:
        return 0.4  # what a call found may come from any call
    if not is_generic and any(claim.kinds & other for other in others):
        return 0.0  # there is a tool for it, and it is another one
    return _by_relation(claim, act, both, kinds, is_generic=is_generic)


def _by_relation(
    claim: Claim, act: Act, both: set[str], kinds: frozenset[str], *, is_generic: bool
) -> float:
    """How well a call of other kinds fits a claim."""
    if claim.kinds <= _CHANGES and kinds & {"create", "update"}:
        return 0.4  # an edit may add, change or remove
    if not kinds or (is_generic and not kinds_of(act.arguments[:400])):
        return 0.3
    # "Purchased two tickets" by `book_tickets`: another verb, the same thing.
    named = {w[:6].lower() for w in _WORD.findall(act.name.replace("_", " "))}
    return 0.3 if both & named and claim.is_good and "read" not in kinds else 0.0


def _no_call(claim: Claim, around: Around) -> float:
    """How much it tells that no call of the kind was made: a reply may do by itself what leaves no trace."""
    if not claim.is_act:
        return 0.0
    if not claim.is_good:
        # Who says that it could not need not have tried.
        return 0.2
    offered = {kind for tool in around.record.tools for kind in kinds_of_tool(tool.name)[0]}
    if claim.kinds and not claim.kinds <= TEXTUAL:
        return 1.0
    if claim.kinds & offered:
        return 0.9
    return 0.5 if claim.kinds else 0.4


def _ended(claim: Claim, outcome: Outcome, match: float) -> dict[str, float]:
    """How it ended beside how it is said to have ended."""
    sure = min(1.0, 0.4 + match)
    ending = outcome.ending
    found: dict[str, float] = {}
    if claim.is_good:
        reads = claim.kinds == {"read"} or not claim.is_done
        if ending is Ending.FAILED and claim.is_void:
            found["agrees"] = sure / 2
        elif ending is Ending.FAILED:
            found["failed"] = sure
        elif ending is Ending.ONLY_LOOKED and claim.is_act and not reads:
            found["only_looked"] = sure
        elif ending is Ending.EMPTY and claim.is_void:
            found["agrees"] = sure
        elif ending is Ending.EMPTY:
            found["empty"] = sure  # until it is known whether it tells what is not there
        elif ending is Ending.UNANSWERED:
            found["unanswered"] = 1.0
        elif ending is Ending.WENT_WELL or (ending is Ending.ONLY_LOOKED and reads):
            found["agrees"] = sure
    elif ending in {Ending.FAILED, Ending.EMPTY}:
        found["agrees"] = sure
    elif ending in {Ending.WENT_WELL, Ending.ONLY_LOOKED} and claim.is_act:
        found["denied"] = sure
    return found


def _only_tells(claim: Claim) -> bool:
    """Whether a claim tells of a search and of nothing that it found."""
    return claim.is_act and not _FOUND.search(claim.clause)


def _stale(claim: Claim, around: Around, place: int) -> float:
    """Whether what was tested was changed after it."""
    if "run" not in claim.kinds or not claim.is_good or _BEFORE.search(claim.text):
        return 0.0
    later = [kinds_of_tool(act.name)[0] for act in around.record.acts[place + 1 :]]
    return float(any(kinds & _CHANGES and "run" not in kinds for kinds in later))


def _valued(claim: Claim, own: Backing, outcome: Outcome, around: Around) -> dict[str, float]:
    """The values of a claim beside those of the call and of the whole record."""
    values = values_of(claim.text)
    listed = len(re.split(r",| and ", claim.text.partition(":")[2]))
    values = tuple(v for v in values if v.type != "number" or float(v.normal) != listed)
    absent = [around.all_acts.missing(v) for v in values]
    untold = [min(a, around.told.missing(v)) for a, v in zip(absent, values, strict=True)]
    differs, told = [0.0], [0.0]
    for value, gone in zip(values, untold, strict=True):
        lost = own.missing(value)
        if lost <= 0.3 or value.type not in own.types:
            continue
        if gone > 0.3:
            differs.append(lost)
        elif value.type == "name":
            continue
        elif around.all_acts.missing(value) > 0.3:
            told.append(lost)
        elif claim.is_done:
            told.append(lost / 2)  # another call has it, this one does not
    words = {w.lower()[:6] for w in _WORD.findall(claim.text)}
    known = {w[:6] for w in around.all_acts.words | around.told.words}
    found = {
        "absent": max(untold, default=0.0),
        "differs": max(differs),
        "told": max(told),
        "field": _field(claim, own, values),
        "flag": _flag(claim, own),
        "novel": len(words - known) / max(4, len(words)),
    }
    if values and max(absent) == 0.0 and outcome.ending is not Ending.EMPTY:
        found["backed"] = 1.0
    return found


def _field(claim: Claim, own: Backing, values: Sequence[Value]) -> float:
    """Whether the claim names a field and has another value of its type in its place."""
    said = frozenset(w.lower() for w in re.findall(r"[^\W_]+", claim.text))
    text = f" {Backing([claim.text]).normal} "
    for field in own.fields:
        key = words_of_key(field.key) - _KEY_NOISE
        if not key or not key <= said or len(field.value) > 60:
            continue
        its = values_of(field.value) or values_of(field.value.capitalize())
        if not its or f" {Backing([field.value]).normal.strip()} " in text:
            continue
        if its[0].type == "name":
            continue
        same = [v for v in values if v.type == its[0].type and _beside(claim.text, key, v)]
        others = [f.value for f in own.fields if f.key == field.key]
        if same and not any(Backing(others).missing(v) == 0.0 for v in same):
            return 1.0
    return 0.0


def _beside(text: str, key: frozenset[str], value: Value) -> bool:
    """Whether a value stands beside the words of a field: "rating of 4", "4 rooms"."""
    words = "|".join(map(re.escape, key))
    shown = re.escape(value.shown)
    near = rf"\b(?:{words})\b[^.,;]{{0,15}}{shown}|{shown}[^.,;]{{0,8}}\b(?:{words})\b"
    return re.search(near, text, re.IGNORECASE) is not None


def _flag(claim: Claim, own: Backing) -> float:
    """Whether the claim denies a field that is true, or affirms one that is false."""
    for field in own.fields:
        value = field.value.lower()
        key = words_of_key(field.key) - _KEY_NOISE
        if not key or value not in _TRUE | _FALSE:
            continue
        for clause in re.split(r"[,;.]|\b(?:and|but)\b", claim.text):
            said = {w.lower() for w in re.findall(r"[^\W_]+", clause)}
            if all(any(s.startswith(k[:5]) for s in said) for k in key):
                denies = bool(_NEGATION.search(clause))
                return float(denies == (value in _TRUE))
    return 0.0


_REASONS = (
    ("failed", "the call failed"),
    ("denied", "the call went well"),
    ("only_looked", "the call only looked, drafted or queued"),
    ("no_call", "no call of this kind was made"),
    ("empty", "the result is empty"),
    ("stale", "it ran before the last change"),
    ("field", "the call has another value"),
    ("flag", "the result says otherwise"),
    ("differs", "the call has another value"),
    ("told", "the call has another value"),
    ("absent", "it is nowhere in the calls and results"),
)


def _why(found: dict[str, float], act: Act | None) -> str:
    if act is None and not found["no_call"]:
        return "it is nowhere in the calls and results" if found["absent"] > 0.3 else ""
    return next((words for name, words in _REASONS if found[name] > 0.3), "")
