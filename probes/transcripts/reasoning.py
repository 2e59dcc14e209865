"""Replies that were told to write down a thought and a response."""

from __future__ import annotations

import re

from candor_guard.reading import decode_json
from candor_guard.reading.reasoning import split_reasoning

_OUTPUT = re.compile(r"<(output|answer)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_AT = re.compile(
    r"\s*\*{0,2}(?:thought|reasoning)s?\s*(?:\*\*\s*:|:\s*\*{0,2})", re.IGNORECASE
)
_RESPONSE_AT = re.compile(
    r"^\s*\*{0,2}(?:final\s+)?(?:response|answer)\s*(?:\*\*\s*:|:\s*\*{0,2})",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*(?:```\s*)?", re.DOTALL)
_ENVELOPE = re.compile(r'\{\s*"(?:thought|reasoning|response|answer)s?"\s*:')
_CUT_ANSWER = re.compile(r'"(?:final_)?(?:response|answer)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_BEFORE_THOUGHT = re.compile(r'^\{\s*"\w+"\s*:\s*"?')
_BEHIND_THOUGHT = re.compile(r'"?\s*,?\s*$')
_THOUGHT_KEYS = ("thought", "thoughts", "reasoning", "think")
_ANSWER_KEYS = ("response", "answer", "final_response", "final_answer", "output")


def split_written(text: str) -> tuple[str, str]:
    """Reasoning and answer, as `split_reasoning`, of a reply that may have written down both.

    These are `<output>` or `<answer>`, a JSON text with `thought` and `response`, also one that was
    cut off, and the headings **Thought:** and **Response:**. A reply that ends within its thought
    has no answer.

    >>> split_written('{"thought": "It leaks.", "response": "It is ti')
    ('It leaks.', 'It is ti')
    >>> split_written("**Thought:** It leaks.\\n\\n**Response:** It is tight.")
    ('It leaks.', 'It is tight.')
    """
    reasoning, rest = split_reasoning(text)
    fenced = _FENCE.fullmatch(rest)
    body = fenced.group(1) if fenced else rest
    told = None
    if _ENVELOPE.match(body):
        told = _of_envelope(body)
    elif headed := _THOUGHT_AT.match(rest):
        behind = rest[headed.end() :]
        answer = _RESPONSE_AT.search(behind)
        told = (behind[: answer.start()], behind[answer.end() :]) if answer else (behind, "")
    if told is not None:
        thought, answer_text = told[0].strip(), told[1].strip()
        return "\n".join(part for part in (reasoning, thought) if part), answer_text
    output = _OUTPUT.search(rest)
    return reasoning, (output.group(2) if output else rest).strip()


def _of_envelope(text: str) -> tuple[str, str]:
    value, problem = decode_json(text.encode("utf-8", "replace"))
    if problem is None and isinstance(value, dict):
        thought, answer = (
            next((str(value[key]) for key in keys if value.get(key)), "")
            for keys in (_THOUGHT_KEYS, _ANSWER_KEYS)
        )
        return thought, answer
    cut = _CUT_ANSWER.search(text)
    before = text[: cut.start()] if cut else text
    thought = _BEHIND_THOUGHT.sub("", _BEFORE_THOUGHT.sub("", before))
    return _unescaped(thought), _unescaped(cut.group(1)) if cut else ""


def _unescaped(text: str) -> str:
    value, problem = decode_json(f'"{text}"'.encode("utf-8", "replace"))
    return value if problem is None and isinstance(value, str) else text
