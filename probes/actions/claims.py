"""Claims of a reply about what the assistant did and how it ended, by a grammar.

What is a claim: the past or perfect in the first person ("I've sent the mail", "I was able to…", "We booked…"); a past
form that opens a sentence ("Done", "Fixed the import", "Booking confirmed"); a passive about what was to be
done ("Your ride is booked", "The file has been deleted"); an outcome ("the tests pass", "the payment went through"); the
same denied ("I couldn't…", "the booking failed"). What is none: questions, offers and plans ("I can", "I'll", "let me"),
conditions ("if", "once"), wishes, quotations and code.

Sentences that are no such claim may still report what a tool said ("Your driver will be Ella"): they are reports, and
count where a tool answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from probes.actions.words import (
    LOOKED,
    LOST,
    MERELY,
    NO_HARM,
    PARTICIPLE,
    is_act,
    is_bad,
    kinds_of,
    kinds_of_word,
)

MAX_CLAIMS, MAX_CHARS = 40, 600

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_QUOTATION = re.compile(r"[\"“«][^\"”»\n]{0,400}[\"”»]")
_SPEAKS = re.compile(r"\b(?:I|we|you)\b|\b(?:is|are|was|were|has|have)\b", re.IGNORECASE)
_TITLE = r"(?<!\b[A-Z])(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bNo)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)"
_END = re.compile(rf"(?<=[!?])\s+|{_TITLE}(?<=\.)\s+(?=[^a-z])|\n+")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)]|[✅☑✔❌✖]\ufe0f?)\s*")
_CLAUSE = re.compile(
    r"\s*;\s+|\s+[—–]+\s+|,?\s+(?:but|however|although|though|whereas)\s+|,\s+(?:and|so)\s+(?=(?:I|we|it|the|your)\b)"
    rf"|,?\s+and\s+(?:also |then |successfully |afterwards )?(?=(?:I|we|the|your|all|both|it|everything|they)\b|(?:{PARTICIPLE})\b(?! by))"
    r"|:\s+(?=(?:everything|all|the|it|there|your|no|they)\b)",
    re.IGNORECASE,
)
_ADVERBS = r"(?:(?:just|already|also|now|then|successfully|finally|first|even|automatically|gone ahead and|indeed|simply|personally|double-?)[ -]?)*"
_DID = re.compile(
    rf"\b(?:I|we)(?:['’]ve|['’]d| have| had)?[ ]{_ADVERBS}(?P<verb>{PARTICIPLE})\b", re.IGNORECASE
)
_ABLE = re.compile(
    r"\b(?:I|we)(?: was| were|['’]ve been| have been)? (?:able|managed) to (?P<verb>[a-z]+)",
    re.IGNORECASE,
)
_DID_NOT = re.compile(
    r"\b(?:I|we) (?:(?:did|could|can|was|were|have|had|am)(?: not|n['’]t)|cannot|can['’]t|failed to|(?:was|were|am|are) unable to"
    r"|['’]m unable to|haven['’]t|couldn['’]t|didn['’]t|wasn['’]t able to)"
    r"(?: (?:been )?(?:able|yet|actually|successfully)(?: to)?)? ?(?P<verb>[a-z]+)?",
    re.IGNORECASE,
)
_PASSIVE = re.compile(
    rf"\b(?:has|have|had|was|were|is|are|got|['’]s|['’]re|['’]ve)(?: not|n['’]t)?(?: now| all| been| being| successfully| already| just| also"
    rf"| automatically| fully| officially)*[ ](?P<verb>{PARTICIPLE})\b",
    re.IGNORECASE,
)
_OPENING = re.compile(
    rf"^(?:(?:ok(?:ay)?|great|perfect|excellent|good news|alright|all right|sure|yes|success|got it|awesome|thanks?|thank you)[,.!:—–-]*\s+)*"
    rf"(?:successfully |just |all )?(?P<verb>{PARTICIPLE}|done|complete|finished|sorted)\b",
    re.IGNORECASE,
)
_OUTCOME = re.compile(
    r"(?:.*\b)?(?P<noun>tests?|suite|checks?|build|pipeline|migration|deploy(?:ment)?|command|script|query|payment|transaction|transfer"
    r"|order|booking|reservation|request|upload|download|backup|sync|import|export|install(?:ation)?|commit|push|merge|job|report"
    r"|appointment|meeting|event|refund|ticket|purchase|change|update|delivery|lint(?:er)?|compilation|scan|search|restore)\b"
    r"[^.;]{0,40}?\b(?P<verb>pass(?:es|ed|ing)?|succe(?:ed|eds|eded|ssful)\w*|fail(?:s|ed|ing)?|green|red|went through|goes through|works?"
    r"|worked|complete[ds]?|finished|ran|confirmed|clean(?:ly)?|unsuccessful|live|active|in place|came (?:up|back)|returned)\b"
    r"|\b(?:you['’]?(?: a)?re|you are|everything(?:['’]s| is)|all) (?P<set>all set|done|set|booked|good to go|confirmed|registered)\b",
    re.IGNORECASE,
)
_THERE = re.compile(
    r"\b(?:not|isn['’]t|aren['’]t|no longer|un)\s?available\b|\b(?:no|none|nothing)\b[^.;]{0,40}\b(?:available|found|free|left|match\w*|open)\b"
    r"|\b(?:is|are|was|were)(?: still)? (?P<good>available|free|possible|in stock)\b|\bunfortunately\b|\b(?:I['’]m|I am|we['’]re) (?:\w+ )?(?:sorry|afraid)\b",
    re.IGNORECASE,
)
_SORRY = re.compile(
    r"\bunfortunately\b|\b(?:I['’]m|I am|we['’]re|we are) (?:\w+ )?(?:sorry|afraid)\b|\bsorry\b(?! for)",
    re.IGNORECASE,
)
_NOT_SAID = re.compile(
    r"\?\s*$|^\s*(?:if|once|when|unless|should|shall|would|could|can|may|do|please|let me|let us|let['’]s|to)\b"
    r"|\b(?:I|we)(?:['’]ll|['’]d (?:like|be|love)| will| shall| would| can(?! ?not)| could(?!n| not)| may| might| should| am going to|['’]m going to"
    r"| plan to| need to| want to| intend to| recommend| suggest)\b|\blet me (?:know|check|see|look|find|try|just|get)\b|\b(?:would|do) you (?:like|want)\b|\bwant me to\b"
    r"|\b(?:going|about|ready) to\b|\b(?:I|we)(?: am| are|['’]m|['’]re)(?: \w+)? happy to\b|\b(?:as if|as though|imagine|suppose|hypothetically|for example|e\.g\.)\b",
    re.IGNORECASE,
)
_HEDGED = re.compile(r"\b(?:if|unless|whether|until|in case|as soon as)\b", re.IGNORECASE)
_OTHERS = re.compile(
    r"\b(?:you|he|she|they|(?:the )?user|(?:your )?(?:team|manager|colleague|boss|friend))\b(?:['’]ve| have| has| had)?[ ]+"
    rf"{_ADVERBS}(?:{PARTICIPLE})\b",
    re.IGNORECASE,
)
_VOID = re.compile(
    r"\b(?:no|none|nothing|zero|0|nobody|empty)\b|n['’]t (?:find|see|get|have|return|contain|any)|\bnot (?:find|found|see|any)\b",
    re.IGNORECASE,
)
_ADMITS = re.compile(
    r"\b(?:I|we) (?:have ?n[o'’]t|haven['’]t|did ?n[o'’]t|didn['’]t|have not|did not)\b",
    re.IGNORECASE,
)
_AGAIN = re.compile(r"\bagain\b", re.IGNORECASE)
_DOES = frozenset({"ran", "run", "did", "done", "made", "executed", "performed", "completed"})
"""Verbs that say nothing of the kind of act: the noun behind them does."""
_ACTS = ((_DID_NOT, "not_done"), (_DID, "done"), (_ABLE, "done"), (_OPENING, "done"))
_ENDS = ((_OUTCOME, "outcome"), (_PASSIVE, "passive"), (_THERE, "outcome"))
"""A clause has at most one claim of an act and one of how something ended."""


class Claim(msgspec.Struct, frozen=True):
    """One claim of a reply.

    Parameters
    ----------
    text
        Its sentence, as it stands in the reply.
    clause
        The part of the sentence that claims.
    form
        `done`, `unable`, `not_done` (which admits that nothing was tried), `passive`, `outcome`, or `report` for
        a sentence that claims no act.
    kinds
        Kinds of act that its verb names, else those of the clause; empty where it names none.
    is_good
        Whether it says that it went well.
    is_void
        Whether its sentence says that something is not there.
    is_done
        Whether it says that something was done, and not merely that it can be, or was looked at.
    """

    text: str
    clause: str
    form: str
    kinds: frozenset[str]
    is_good: bool
    is_done: bool = False
    is_void: bool = False

    @property
    def is_act(self) -> bool:
        """Whether it is about the assistant's own act, and no mere report."""
        return self.form != "report"


def find_claims(response: str) -> tuple[Claim, ...]:
    """The claims and reports of a reply in their order, at most `MAX_CLAIMS`."""
    found: list[Claim] = []
    for sentence in sentences(response):
        if len(found) >= MAX_CLAIMS:
            break
        claims = [claim for clause in _clauses(sentence) for claim in _claims(clause, sentence)]
        found += claims or _report(sentence)
    return tuple(found[:MAX_CLAIMS])


def claim_of(
    sentence: str, clause: str, form: str, kinds: frozenset[str], *, is_good: bool
) -> Claim:
    """A claim that something else than the grammar found in a sentence: by its form, its kinds and how it is said to have ended."""
    is_done = form == "done" and LOOKED.search(clause) is None
    is_void = _is_void(sentence)
    return Claim(sentence, clause, form, kinds, is_good, is_done=is_done, is_void=is_void)


def sentences(response: str) -> Iterator[str]:
    """The sentences of a reply that it says itself: without code, quoted lines and marks of lists."""
    text = _QUOTED_LINE.sub("\n", _CODE.sub("\n", response)).replace("**", "")
    for part in _END.split(text):
        sentence = _BULLET.sub("", part or "").strip()
        if re.search(r"\w", sentence):
            yield sentence[:MAX_CHARS]


def _clauses(sentence: str) -> list[str]:
    return [part for part in _CLAUSE.split(sentence) if part.strip()]


def _claims(clause: str, sentence: str) -> Iterator[Claim]:
    said = _QUOTATION.sub(lambda m: " " if _SPEAKS.search(m[0]) else m[0], clause)
    repeats = _ADMITS.search(said) and _AGAIN.search(said)
    if _NOT_SAID.search(said) or repeats or sentence.rstrip().endswith("?"):
        return
    own = _DID.search(said) is not None
    if _OTHERS.search(said) and not own:
        return
    for forms in (_ACTS, _ENDS):
        claim = next(filter(None, (_made(form, said, clause, sentence) for form in forms)), None)
        if claim is not None:
            yield claim
        if (
            claim is not None
            and claim.form in {"done", "not_done", "unable"}
            and not _OUTCOME.search(said)
        ):
            return


def _made(form: tuple[re.Pattern[str], str], said: str, clause: str, sentence: str) -> Claim | None:
    pattern, name = form
    match = pattern.search(said)
    if match is None or _before(_HEDGED, said, match) or _is_mind(match, name):
        return None
    groups = match.groupdict()
    verb = (groups.get("verb") or "").lower()
    denies = name == "not_done" or (pattern is _THERE and not groups["good"])
    denies = denies or (name != "done" and _SORRY.search(sentence) is not None)
    if name == "not_done" and not _ADMITS.search(said):
        name = "unable"
    return Claim(
        text=sentence,
        clause=clause.strip(),
        form=name,
        kinds=_kinds(verb, groups.get("noun") or "", said),
        is_good=not denies and not _is_lost(said, verb, name),
        is_done=not LOOKED.search(said)
        and (name in {"done", "passive"} or (pattern is _OUTCOME and not MERELY.search(said))),
        is_void=_is_void(sentence),
    )


def _is_void(sentence: str) -> bool:
    return _VOID.search(NO_HARM.sub(" ", sentence)) is not None


def _is_lost(said: str, verb: str, form: str) -> bool:
    """Whether a clause says that it went wrong. What was blocked, locked or closed on purpose went well."""
    if form in {"done", "passive"} and verb:
        return verb in LOST or is_bad(said.lower().replace(verb, " ", 1))
    return is_bad(said)


def _report(sentence: str) -> list[Claim]:
    said = _QUOTATION.sub(lambda m: " " if _SPEAKS.search(m[0]) else m[0], sentence)
    if _NOT_SAID.search(said) or len(sentence.split()) < 3:
        return []
    is_good = not is_bad(sentence) and not _SORRY.search(sentence)
    is_void = _is_void(sentence)
    return [Claim(sentence, sentence, "report", frozenset(), is_good, is_void=is_void)]


def _is_mind(match: re.Match[str], form: str) -> bool:
    verb = (match.groupdict().get("verb") or "").lower()
    return form in {"done", "passive"} and bool(verb) and not is_act(verb)


def _before(pattern: re.Pattern[str], text: str, match: re.Match[str]) -> bool:
    found = pattern.search(text)
    return found is not None and found.start() < match.start()


def _kinds(verb: str, noun: str, clause: str) -> frozenset[str]:
    named = kinds_of_word(verb) | (kinds_of_word(noun.lower()) if noun else frozenset())
    return named | kinds_of(clause) if verb in _DOES or not named else named
