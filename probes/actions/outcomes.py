"""How a call ended, as its record and the text of its result say."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any, NamedTuple

from evidence.tools import Act
from probes.actions.words import BAD, CHECKS, GOOD, MERELY, NO_HARM, is_bad, kinds_of_tool

_HEAD, _TAIL, _SHORT = 300, 500, 1_200
_ERROR_KEYS = ("error", "errors", "exception", "err", "error_message", "errormessage", "fault")
_TRUE_KEYS = ("success", "ok", "succeeded", "confirmed", "is_success", "delivered", "accepted")
_CODE_KEYS = ("exit_code", "exitcode", "returncode", "return_code", "exit_status")
_HTTP_KEYS = ("status_code", "statuscode", "http_status", "code", "status")
_WORD_KEYS = ("status", "state", "result", "outcome", "message", "msg", "detail", "confirmation")
_EMPTY = frozenset({"", "[]", "{}", "null", "none", "nothing", "empty", "()", '""', "n/a"})
_EMPTY_TEXT = re.compile(
    r"\b(?:no|0|zero) (?:results?|matches|rows?|records?|items?|entries|hits|files?|events?|messages?|documents?)\b"
    r"|\bnothing found\b|=\s*(?:empty|nothing|none|null|\[\])\s*(?:$|;)|[\"'](?:results|items|rows|matches|data|hits)[\"']\s*:\s*\[\s*\]",
    re.IGNORECASE,
)
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: code| status)?[ =:]+(-?\d+)", re.IGNORECASE)
_CRASH = re.compile(
    r"^\s*(?:error\b|fatal\b|traceback|exception\b|\w*(?:Error|Exception)\b)|\bHTTP(?:/[\d.]+)?[ :]+[45]\d\d\b|\b[45]\d\d (?:not found"
    r"|forbidden|unauthori[sz]ed|bad request|internal|service|gateway|too many|conflict)",
    re.IGNORECASE | re.MULTILINE,
)
_COUNTED_BAD = re.compile(r"\b([1-9]\d*) (?:failed|failures?|errors?|failing)\b", re.IGNORECASE)


class Ending(StrEnum):
    """How a call ended, as far as can be read."""

    WENT_WELL = "went_well"
    ONLY_LOOKED = "only_looked"
    """It was looked at, drafted or queued; nothing was done."""
    EMPTY = "empty"
    FAILED = "failed"
    UNCLEAR = "unclear"
    UNANSWERED = "unanswered"


class Outcome(NamedTuple):
    """How a call ended and the words that say so."""

    ending: Ending
    words: str = ""


def outcome_of(act: Act) -> Outcome:
    """How an act ended.

    The record's own status counts first, then fields that say so (`error`, `success`, `exit_code`, a code of HTTP),
    then words. What was searched for may be about errors: of a call that reads, words count only where the text is
    short or begins with them.
    """
    if act.result is None:
        return Outcome(Ending.FAILED if act.status == "failed" else Ending.UNANSWERED)
    text = act.result.strip()
    if act.status == "failed":
        return Outcome(Ending.FAILED, _excerpt(text, BAD))
    kinds, _ = kinds_of_tool(act.name)
    if text.lower() in _EMPTY:
        did = act.status == "ok" and kinds and "read" not in kinds
        return Outcome(Ending.WENT_WELL if did else Ending.EMPTY, text)
    told = _told(text)
    reads = "read" in kinds and len(text) > _SHORT // 4
    if told is not None and (told.ending is Ending.FAILED or not reads):
        return _or_looked(told, act)
    ending = _written(text, reads=reads)
    if ending.ending is Ending.UNCLEAR and act.status == "ok":
        ending = Outcome(Ending.WENT_WELL, ending.words)
    return _or_looked(ending, act)


def _or_looked(found: Outcome, act: Act) -> Outcome:
    """A call that only looks did nothing, however well it went."""
    good = found.ending in {Ending.WENT_WELL, Ending.UNCLEAR}
    if good and CHECKS.search(act.arguments):
        return Outcome(Ending.ONLY_LOOKED, found.words)
    return found


def _written(text: str, *, reads: bool) -> Outcome:
    seen = text if len(text) <= _SHORT else f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    if reads:
        seen = text.split("\n", maxsplit=1)[0][:80]
    calm = NO_HARM.sub(" ", seen)
    code = _EXIT.search(seen)
    if (code and int(code[1])) or _CRASH.search(seen) or _COUNTED_BAD.search(seen):
        return Outcome(Ending.FAILED, _excerpt(seen, BAD))
    if _EMPTY_TEXT.search(seen):
        return Outcome(Ending.EMPTY, _excerpt(seen, _EMPTY_TEXT))
    if BAD.search(calm):
        return Outcome(Ending.FAILED, _excerpt(calm, BAD))
    if code or NO_HARM.search(seen):
        return Outcome(Ending.WENT_WELL, _excerpt(seen, GOOD))
    good = {match[0].lower() for match in GOOD.finditer(seen)}
    if good and good <= {"available", "free", "valid", "active", "queued"}:
        return Outcome(Ending.ONLY_LOOKED, _excerpt(seen, MERELY))
    return Outcome(Ending.WENT_WELL, _excerpt(seen, GOOD)) if good else Outcome(Ending.UNCLEAR, "")


def _told(text: str) -> Outcome | None:
    """What the fields of a result say by themselves; None where they say nothing."""
    if not text.startswith(("{", "[")):
        return None
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return Outcome(Ending.EMPTY, text) if not value else None
    fields = {str(name).lower(): given for name, given in value.items()}
    lists = [given for given in fields.values() if isinstance(given, list)]
    if lists and not any(lists) and not _by_code(fields):
        return Outcome(Ending.EMPTY, text[:_HEAD])
    return _by_code(fields) or _by_word(fields)


def _by_code(fields: dict[str, Any]) -> Outcome | None:
    for key in _ERROR_KEYS:
        if fields.get(key) not in (None, "", False, 0, [], {}):
            return Outcome(Ending.FAILED, f"{key}: {fields[key]}"[:200])
    for key in _TRUE_KEYS:
        if isinstance(fields.get(key), bool):
            ending = Ending.WENT_WELL if fields[key] else Ending.FAILED
            return Outcome(ending, _said(fields) or f"{key}: {str(fields[key]).lower()}")
    for key in _CODE_KEYS:
        if isinstance(fields.get(key), int):
            ending = Ending.FAILED if fields[key] else Ending.WENT_WELL
            return Outcome(ending, f"{key}: {fields[key]}")
    for key in _HTTP_KEYS:
        code = fields.get(key)
        if isinstance(code, int) and not isinstance(code, bool) and 200 <= code < 600:
            ending = Ending.FAILED if code >= 400 else Ending.WENT_WELL
            return Outcome(ending, f"{key}: {code}")
    return None


def _by_word(fields: dict[str, Any]) -> Outcome | None:
    said = _said(fields)
    if not said:
        return None
    if is_bad(said):
        return Outcome(Ending.FAILED, said)
    good = {match[0].lower() for match in GOOD.finditer(said)}
    if MERELY.search(said) and not good - {"available", "free", "valid", "active", "queued"}:
        return Outcome(Ending.ONLY_LOOKED, said)
    return Outcome(Ending.WENT_WELL, said) if good else None


def _said(fields: dict[str, Any]) -> str:
    words = (f"{key}: {fields[key]}" for key in _WORD_KEYS if isinstance(fields.get(key), str))
    return "; ".join(words)[:300]


def _excerpt(text: str, pattern: re.Pattern[str]) -> str:
    """The line around the first word that tells, at most 200 characters."""
    match = pattern.search(text)
    at = match.start() if match else 0
    begin = max(text.rfind("\n", 0, at) + 1, at - 80)
    return text[begin : begin + 200].split("\n", maxsplit=1)[0].strip()
