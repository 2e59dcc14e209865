"""Values that a text states: times, dates, numbers, names, marks such as paths and addresses.

Two texts state the same value where their normal forms are equal: "7 pm" is "19:00", "four" is "4".
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            *(
                "zero",
                "one",
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
            ),
            *("eleven", "twelve"),
        )
    )
    for word in (words,)
}
_TIME = re.compile(
    r"\b(?P<h>\d{1,2})(?::(?P<m>\d{2}))?\s*(?P<half>[ap])\.?\s?m\b\.?|\b(?P<h24>[01]?\d|2[0-3]):(?P<m24>[0-5]\d)\b",
    re.IGNORECASE,
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_DATE = re.compile(
    rf"\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b(?:{'|'.join((*_DAYS, *(m for m in _MONTHS if m != 'may')))}|tomorrow|yesterday)\b|\bMay(?= \d)",
    re.IGNORECASE,
)
_LENGTH = re.compile(r"\b(\d+)\s?h(?:ours?|rs?)?\s?(\d+)\s?m(?:in(?:utes?|s)?)?\b", re.IGNORECASE)
_MARK = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.-]+|(?:[\w.-]*/)+[\w.-]+|\b[\w-]+\.(?:[a-z]{1,4}\d?|json|yaml|toml|html)\b(?!\.\w)"
    r"|\bv?\d+\.\d+\.\d+\b|#\d+\b|\b[A-Z]{2,}[-_]?\d[\w-]*\b|\b[A-Z]+-\d[\w-]*\b|\b(?=\w*\d)(?=\w*[a-f])[0-9a-f]{7,40}\b|\b[a-z]+(?:_[a-z0-9]+)+\b"
)
_NUMBER = re.compile(
    r"(?<![\w.,:/#-])[-+]?\$?€?£?(?P<n>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<after>st|nd|rd|th|k|K|%|ms|s|x|[kKMG]B|km|kg|cm|m|h|min)?(?![\w]|\.\d|:\d|/\d)"
    rf"|\b(?P<word>{'|'.join(w for w in _NUMBERS if w not in {'zero', 'one'})})\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"(?<!\w)'([^'\n]{2,80})'(?!\w)|\"([^\"\n]{2,80})\"|“([^”\n]{2,80})”|`([^`\n]{2,120})`"
)
_NAME = re.compile(
    r"[A-Z][\w'’&.-]*(?:[ ](?:(?:of|the|de|la|for)[ ](?=[A-Z0-9]))?(?:[A-Z0-9&][\w'’&.:-]*))*"
)
_STOP = frozenset(
    [
        "i",
        "i've",
        "i'm",
        "i'll",
        "ok",
        "okay",
        "great",
        "perfect",
        "excellent",
        "unfortunately",
        "sorry",
        "yes",
        "no",
        "your",
        "you",
        "the",
        "a",
        "an",
        "it",
        "its",
        "it's",
        "this",
        "that",
        "these",
        "those",
        "there",
        "here",
        "my",
        "our",
        "we",
        "we've",
        "they",
        "he",
        "she",
        "all",
        "both",
        "each",
        "every",
        "some",
        "any",
        "done",
        "good",
        "success",
        "alright",
        "thanks",
        "thank",
        "please",
        "note",
        "also",
        "and",
        "but",
        "or",
        "so",
        "then",
        "now",
        "just",
        "right",
        "happy",
        "sure",
        "hello",
        "hi",
        "dear",
        "everything",
        "nothing",
        "none",
        "if",
        "when",
        "once",
        "after",
        "before",
        "for",
        "from",
        "in",
        "on",
        "at",
        "to",
        "of",
        "with",
        "by",
        "as",
        "is",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "not",
        "successfully",
        "purchased",
        "booked",
        "confirmed",
        "fixed",
        "updated",
        "created",
        "deleted",
        "sent",
        "added",
        "removed",
        "according",
        "currently",
        "unfortunately",
        "however",
        "meanwhile",
        "additionally",
        "finally",
        "first",
        "second",
        "third",
        "next",
        "last",
        "what",
        "which",
        "who",
        "how",
        "why",
        "got",
        "congratulations",
        "absolutely",
        "certainly",
        "indeed",
        "well",
        "enjoy",
        "let",
        "only",
        "earliest",
        "latest",
        "total",
    ]
)
_SHORTENED = re.compile(r"\w+['’](?:ve|re|ll|d|s|m)", re.IGNORECASE)
_SUBJECT = re.compile(r"\s+(?:is|was|has|will|had|are|and|can|runs|starts|plays)\b|['’]s\b")
_SPACE = re.compile(r"[^\w%@#/+.-]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|[_.\-\s]+")
_MAX_VALUES = 60


class Value(NamedTuple):
    """A value: its type (`time`, `date`, `number`, `mark`, `name`) and its normal form."""

    type: str
    normal: str
    shown: str


class Field(NamedTuple):
    """A named value of a call's arguments or result."""

    key: str
    value: str


def values_of(text: str) -> tuple[Value, ...]:
    """The values that a text states, each once, in their order by type."""
    found: list[Value] = []
    rest = text
    for kind, pattern, normal in _READERS:

        def taken(match: re.Match[str], kind: str = kind, normal: Any = normal) -> str:
            form = normal(match)
            if form:
                found.append(Value(kind, form, match[0].strip()))
            # Other values do not run into each other where one was taken out.
            return " ; "

        rest = pattern.sub(taken, rest)
    found += _names(rest)
    return tuple(dict.fromkeys(found))[:_MAX_VALUES]


def _time(match: re.Match[str]) -> str:
    if match["h24"]:
        return f"{int(match['h24']) * 60 + int(match['m24'])}"
    hour = int(match["h"]) % 12 + (12 if match["half"].lower() == "p" else 0)
    return f"{hour * 60 + int(match['m'] or 0)}"


def _number(match: re.Match[str]) -> str:
    if match["word"]:
        return f"{_NUMBERS[match['word'].lower()]:g}"
    number = float(match["n"].replace(",", "")) * (1000 if match["after"] in {"k", "K"} else 1)
    return f"{number:.10g}"


def _quoted(match: re.Match[str]) -> str:
    return normal_text(next(filter(None, match.groups()), ""))


_READERS = (
    ("name", _QUOTED, _quoted),
    ("mark", _MARK, lambda match: match[0].strip(".,").lower()),
    ("time", _LENGTH, lambda match: f"{match[1]}h{match[2]}"),
    ("date", _DATE, lambda match: match[0].lower()),
    ("time", _TIME, _time),
    ("number", _NUMBER, _number),
)


def _names(text: str) -> Iterator[Value]:
    for match in _NAME.finditer(text):
        words = match[0].strip(" .'’-").split()
        whole = len(words)
        while words and (words[0].lower().strip(".,'’") in _STOP or _SHORTENED.fullmatch(words[0])):
            words.pop(0)
        begins = not re.search(r"[\w,:]\s*\Z", text[: match.start()])
        # Any word is written large where a sentence begins.
        if not words or (
            begins and whole == len(words) == 1 and not _SUBJECT.match(text, match.end())
        ):
            continue
        if begins and whole == len(words):
            words = words[1:] or words
        name = " ".join(words)
        if len(name) > 1:
            yield Value("name", normal_text(name), name)


def month_of(iso_date: str) -> str:
    """The month of `2026-03-01` by its name; "" for what is no such date."""
    number = iso_date[5:7]
    return _MONTHS[int(number) - 1] if number.isdigit() and 1 <= int(number) <= 12 else ""


def normal_text(text: str) -> str:
    """Lower case, words apart by one space, no other marks."""
    return _SPACE.sub(" ", text.replace("’", "'").replace("'s ", " ").lower()).strip(" .-")


def fields_of(text: str) -> tuple[Field, ...]:
    """The named values of a text: JSON, or lines of `key = value` and `key: value`."""
    value = json_of(text)
    found = _written_fields(text) if value is None else _json_fields(value, "", 6)
    return tuple(itertools.islice(found, 300))


def plain(text: str) -> str:
    """A JSON text as `key = value`, any other as it is."""
    value = json_of(text)
    if value is None:
        return text
    pairs = itertools.islice(_json_fields(value, "item", 6), 2_000)
    return " ; ".join(f"{field.key.replace('_', ' ')} = {field.value}" for field in pairs)


def json_of(text: str) -> Any:
    """The object or list that a text is; None where it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json_fields(value: Any, key: str, depth: int) -> Iterator[Field]:
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            yield from _json_fields(inner, str(name), depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _json_fields(inner, key, depth - 1)
    elif value is not None and key and not isinstance(value, dict | list):
        yield Field(key, str(value))


_PAIR = re.compile(
    r"(?:^|[;\n,{|])\s*[\"']?([A-Za-z][\w .-]{0,40}?)[\"']?\s*[=:]\s*([^;\n|]{1,400})"
)


def _written_fields(text: str) -> Iterator[Field]:
    for match in list(_PAIR.finditer(text))[:300]:
        yield Field(match[1].strip(), match[2].strip().strip("\"'"))


def words_of_key(key: str) -> frozenset[str]:
    """The words that a field's name is made of, in lower case.

    >>> sorted(words_of_key("DriverName"))
    ['driver', 'name']
    """
    return frozenset(part.lower() for part in _CAMEL.split(key) if len(part) > 1)
