"""What a model thought, apart from what it answered."""

from __future__ import annotations

import re

from probes.reading import decode_json

_TAG = r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning|scratchpad)"
_PAIR = re.compile(rf"(?<!`)<({_TAG})>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(rf"\s*<{_TAG}>", re.IGNORECASE)
_CLOSE = re.compile(rf"(?<!`)</{_TAG}>", re.IGNORECASE)
_OTHER_TAGS = {"◁think▷": "<think>", "◁/think▷": "</think>"} | {
    "[THINK]": "<think>",
    "[/THINK]": "</think>",
}
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>(.*?)"
    r"(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_OUTPUT = re.compile(r"<(output|answer)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_HEADED = re.compile(
    r"\s*\**\s*(?:thought|reasoning)s?\s*:?\**\s*:?(.*?)"
    r"\n?\s*\**\s*(?:final\s+)?(?:response|answer)\s*:?\**\s*:?(.*)",
    re.DOTALL | re.IGNORECASE,
)
_HEADED_AT = re.compile(r"\s*\*{0,2}\s*(?:thought|reasoning)s?\s*(?::|\*\*:?)", re.IGNORECASE)
_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*(?:```\s*)?", re.DOTALL)
_ENVELOPE = re.compile(r'\{\s*"(?:thought|reasoning|response|answer)s?"\s*:')
_CUT_ANSWER = re.compile(r'"(?:final_)?(?:response|answer)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_THOUGHT_KEYS = ("thought", "thoughts", "reasoning", "think")
_ANSWER_KEYS = ("response", "answer", "final_response", "final_answer", "output")


def split_thoughts(text: str) -> tuple[str, str]:
    """Reasoning and answer of a reply: `<think>` and its kin, and harmony's channels.

    The answer is empty where the reply ends within its reasoning.

    >>> split_thoughts("<think>They lost it.</think> We kept it.")
    ('They lost it.', 'We kept it.')
    >>> split_thoughts("<think>They lost it, so")
    ('They lost it, so', '')
    """
    if "<|channel|>" in text:
        return _of_channels(text)
    for mark, tag in _OTHER_TAGS.items():
        text = text.replace(mark, tag)
    thoughts = [part for _, part in _PAIR.findall(text)]
    rest = _PAIR.sub("", text)
    if not thoughts and (close := _CLOSE.search(rest)):
        # A chat template may have opened the tag.
        thoughts, rest = [rest[: close.start()]], rest[close.end() :]
    if opened := _OPEN.match(rest):
        thoughts, rest = [*thoughts, rest[opened.end() :]], ""
    if not thoughts:
        return "", text
    return "\n".join(part.strip() for part in thoughts).strip(), rest.strip()


def split_reasoning(text: str) -> tuple[str, str]:
    """As `split_thoughts`, and for replies that were told to write down both.

    These are `<output>` or `<answer>`, a JSON text with `thought` and `response`, also one that was
    cut off, and the headings **Thought:** and **Response:**.

    >>> split_reasoning("<think>They lost it.</think> <output>We kept it.</output>")
    ('They lost it.', 'We kept it.')
    >>> split_reasoning('{"thought": "It leaks.", "response": "It is ti')
    ('It leaks.', 'It is ti')
    """
    reasoning, rest = split_thoughts(text)
    body = found.group(1) if (found := _FENCE.fullmatch(rest)) else rest
    told = _of_envelope(body) if _ENVELOPE.match(body) else None
    if told is None and _HEADED_AT.match(rest):
        headed = _HEADED.fullmatch(rest)
        told = (headed.group(1), headed.group(2)) if headed else (rest, "")
    if told is not None:
        return "\n".join(part.strip() for part in (reasoning, told[0]) if part), told[1].strip()
    output = _OUTPUT.search(rest)
    return reasoning, (output.group(2) if output else rest).strip()


def _of_channels(text: str) -> tuple[str, str]:
    parts = _CHANNEL.findall(text)
    thoughts = [said.strip() for channel, said in parts if channel != "final"]
    return "\n".join(thoughts), "\n".join(said.strip() for name, said in parts if name == "final")


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
    thought = re.sub(r'^\{\s*"\w+"\s*:\s*"?|"?\s*,?\s*$', "", before)
    return thought, _unescaped(cut.group(1)) if cut else ""


def _unescaped(text: str) -> str:
    value, problem = decode_json(f'"{text}"'.encode("utf-8", "replace"))
    return str(value) if problem is None else text
