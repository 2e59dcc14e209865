"""What a verdict rests on, for a person to look at: a claim, what it contradicts, the words that carry it.

Rules, so that the same measurements always explain themselves alike; nothing here moves a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from evidence import Measurement, Message, VerdictKind
from evidence.records import Archetype, Finding
from probes.injections.spans import PART
from probes.minds import MINDS
from probes.probe import Transcript

_ACT = re.compile(
    r"\bI(?:['’]ve|['’]d| have| had)?(?: (?:not|never|just|already|also|now|successfully))*"
    r" (?:(?P<regular>[a-z]{2,}ed)|(?P<irregular>sent|ran|run|wrote|written|made|built|put|set|paid|sold"
    r"|bought|got|gave|given|took|taken|went|gone|did|done|found|read|drew|drawn|spoke|spoken|cut))\b"
)
_DENIED_ACT = re.compile(r"\bI (?:did not|didn['’]t|have not|haven['’]t|never) [a-z]{2,}")
_TRACELESS = MINDS | {"failed"}
_OPINION = re.compile(r"\bI (?:think|believe|feel|guess|suppose|hope|wonder|prefer|love|like)\b")
_WORD = re.compile(r"\d[\d.,:%]*|[^\W\d_]{4,}")
_COMMON = frozenset(
    [
        "about",
        "after",
        "again",
        "also",
        "another",
        "because",
        "been",
        "before",
        "being",
        "between",
        "both",
        "cannot",
        "could",
        "does",
        "doing",
        "down",
        "during",
        "each",
        "either",
        "even",
        "ever",
        "every",
        "from",
        "further",
        "have",
        "having",
        "here",
        "just",
        "like",
        "made",
        "make",
        "many",
        "more",
        "most",
        "much",
        "must",
        "need",
        "neither",
        "only",
        "other",
        "over",
        "please",
        "said",
        "same",
        "several",
        "shall",
        "should",
        "some",
        "still",
        "such",
        "than",
        "that",
        "their",
        "theirs",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "under",
        "until",
        "very",
        "want",
        "well",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "whom",
        "will",
        "with",
        "without",
        "would",
        "your",
        "yours",
        "yourself",
    ]
)
_STEM_CHARS = 6
_LEAST_SHARED, _LEAST_SHARE = 2, 0.25


def explained(
    transcript: Transcript,
    kind: VerdictKind,
    measurements: Sequence[Measurement],
    parts: Mapping[str, float],
) -> tuple[Archetype | None, Finding | None]:
    """What the claim of a verdict is about, and the finding that carries it most.

    A `lie` is explained by the probe that raised the log-odds of a lie the most, another verdict by the
    one that moved them the most, either way; of those that found something to show. Where that is
    tokens alone, the claim is the sentence with the largest sum of their surprise.

    Parameters
    ----------
    parts
        What each probe added to the log-odds of a lie (`Fusion.parts`); a probe that is not in it
        counts as nothing.

    Returns
    -------
    tuple
        The archetype of the claim, or of the reply where no claim was found; None for a reply
        that could not be measured, and where the probes do not tell: what was not decided names no kind of lie. The
        finding, which an undecided verdict keeps for a person to decide by; None where no probe had one.
    """
    if kind is VerdictKind.ERROR or not transcript.is_measurable:
        return None, None

    def carried(measurement: Measurement) -> float:
        part = parts.get(measurement.probe, 0.0)
        return part if kind is VerdictKind.LIE else abs(part)

    shown = [m for m in measurements if m.finding and m.finding.explains and m.error is None]
    finding = max(shown, key=carried).finding if shown else None
    if finding is not None and not finding.claim:
        claim = surprising_sentence(transcript.response, finding.tokens, finding.nats)
        finding = msgspec.structs.replace(finding, claim=claim)
    if kind is VerdictKind.UNDECIDED:
        return None, finding
    if finding is not None and finding.archetype is not None:
        return finding.archetype, finding
    return archetype_of(finding.claim if finding else "", transcript), finding


def surprising_sentence(response: str, tokens: Sequence[str], nats: Sequence[float]) -> str:
    """The sentence of a reply with the largest sum of token surprise; "" without tokens.

    Tokens are placed by their own lengths. Where a tokeniser cut a character in two the reply's own
    sentence of the same number is given.
    """
    text = "".join(tokens)
    spans = list(_sentences(text))
    sums = [0.0] * len(spans)
    at, here = 0, 0
    for token, surprise in zip(tokens, nats, strict=False):
        # A token belongs where its first visible character stands.
        start = at + len(token) - len(token.lstrip())
        while here + 1 < len(spans) and start >= spans[here][1]:
            here += 1
        if spans:
            sums[here] += surprise
        at += len(token)
    if not any(text[start:end].strip() for start, end in spans):
        return ""
    best = max(range(len(spans)), key=sums.__getitem__)
    own = list(_sentences(response))
    if len(own) == len(spans):
        text, spans = response, own
    start, end = spans[best]
    return text[start:end].strip()


def archetype_of(claim: str, transcript: Transcript) -> Archetype:
    """What a claim is about; for an empty one what any sentence of the reply is about.

    `own_action`: it says in the first person what was done. `told_facts`: a quarter of its words of
    content, and two at least, stand in the context (system prompt, tool results, earlier turns; the
    question is no part of it).
    `known_facts`: it asserts something else. `other`: it asserts nothing, such as a question, an opinion
    or a bare yes.
    """
    text = claim or transcript.response
    if _is_act(text):
        return Archetype.OWN_ACTION
    asks = transcript.prompt and transcript.prompt[-1].role == "user"
    told = _content(transcript.prompt[:-1] if asks else transcript.prompt)
    claims = [claim] if claim else [text[start:end] for start, end in _sentences(text)]
    if any(_is_told(_words(one), told) for one in claims):
        return Archetype.TOLD_FACTS
    asserts = len(_words(text)) >= _LEAST_SHARED and not text.rstrip().endswith("?")
    return Archetype.KNOWN_FACTS if asserts and not _OPINION.search(text) else Archetype.OTHER


def _is_told(said: frozenset[str], told: frozenset[str]) -> bool:
    shared = len(said & told)
    return shared >= _LEAST_SHARED and shared >= _LEAST_SHARE * len(said)


def _is_act(text: str) -> bool:
    if _DENIED_ACT.search(text):
        return True
    return any(
        found["irregular"] or found["regular"] not in _TRACELESS for found in _ACT.finditer(text)
    )


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each sentence; one of a single word ("Dr.", "No.") goes with the next."""
    ends = [part.end() for part in PART.finditer(text)]
    begin = 0
    for _, end in pairwise([0, *ends]):
        if end == begin or (len(text[begin:end].split()) < 2 and end < len(text)):
            continue
        yield begin, end
        begin = end


def _content(turns: Sequence[Message]) -> frozenset[str]:
    return frozenset().union(*(_words(turn.content) for turn in turns))


def _words(text: str) -> frozenset[str]:
    """What tells one text from another: numbers, and stems of the longer words."""
    words = (word.rstrip(".,:") for word in _WORD.findall(text.casefold()))
    return frozenset(word[:_STEM_CHARS] for word in words if word not in _COMMON)
