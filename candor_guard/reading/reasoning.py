"""What a reply says, apart from what was only thought: no reasoning is scored as the answer."""

from __future__ import annotations

import re

_NAMES = r"think|thinking|thoughts?|reasoning|seed:think|scratchpad(?:_reasoning)?"
_TAG = re.compile(
    rf"(?<!`)(?:(?P<opens><(?:{_NAMES})>|\[THINK\]|◁think▷"
    r"|<\|(?:begin_of_thought|start_thinking)\|>)"
    rf"|</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|(?:end_of_thought|end_thinking)\|>)",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"\s*(?:<(?P<tag>answer|final_answer|output|response)>|<\|(?:begin_of_solution|start_response)\|>)"
    r"(?P<said>(?:(?!</(?P=tag)>|<\|end_of_solution\|>|<\|end_response\|>).)*)"
    r"(?:</(?P=tag)>|<\|(?:end_of_solution|end_response)\|>|\Z)\s*",
    re.DOTALL | re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|(channel|message|end|return|call|start)\|>")
_BARE_CHANNELS = re.compile(r"analysis(?=\S)(.*?)assistantfinal(.*)", re.DOTALL)
_SHOWN = {"final", "commentary"}


def split_reasoning(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a reply; reasoning is "" where none is marked.

    Marked is what stands in think tags of the known kinds, what comes before a closing tag whose
    opening one was part of the prompt, and every channel of gpt-oss that people do not see.
    Reasoning that never ends leaves no answer. A tag in backticks is talked about, not used. A tag
    around the whole answer is taken off.

    >>> split_reasoning("<think>They lost it.</think> <answer>We kept it.</answer>")
    ('They lost it.', 'We kept it.')
    >>> split_reasoning("<think>They lost it, so")
    ('They lost it, so', '')
    """
    thought, said = _channels(text) or _tags(text)
    whole = _WHOLE.fullmatch(said)
    reasoning = "\n".join(part for part in map(str.strip, thought) if part)
    return reasoning, (whole["said"] if whole else said).strip()


def _channels(text: str) -> tuple[list[str], str] | None:
    """Thoughts and answer of a reply in gpt-oss's channels, None for any other."""
    bare = _BARE_CHANNELS.fullmatch(text)
    if bare:
        return [bare[1]], bare[2]
    if "<|channel|>" not in text:
        return None
    thought: list[str] = []
    said: list[str] = []
    before, *rest = _CHANNEL.split(text)
    said.append(before)
    name = ""
    for mark, part in zip(rest[::2], rest[1::2], strict=True):
        if mark == "channel":
            name = part.strip().lower()
        elif mark == "message":
            (said if name in _SHOWN else thought).append(part)
    return thought, "\n".join(said)


def _tags(text: str) -> tuple[list[str], str]:
    thought: list[str] = []
    said: list[str] = []
    opened: re.Match[str] | None = None
    at = 0
    for tag in _TAG.finditer(text):
        if tag["opens"] and opened is None:
            said.append(text[at : tag.start()])
            opened, at = tag, tag.end()
        elif not tag["opens"]:
            inside = text[at : tag.start()]
            thought.append(inside if opened else " ".join([*said, inside]))
            said = said if opened else []
            opened, at = None, tag.end()
    if opened is None:
        return thought, " ".join([*said, text[at:]])
    before = text[: opened.start()].rpartition("\n")[2]
    if before.strip() and not thought:
        return thought, " ".join(said) + text[opened.start() :]
    return [*thought, text[at:]], " ".join(said)
