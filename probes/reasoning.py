"""What a model thinks aloud, apart from what it answers."""

from __future__ import annotations

import re

_TAG = re.compile(r"[<\[](/?)(?:think|thinking|thought|reasoning)[>\]]", re.IGNORECASE)


def split_thought(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a reply; reasoning is what stands in think tags, "" without them.

    Reasoning that never ends leaves no answer. What stands before a closing tag that was never
    opened is reasoning too: many chat templates put the opening tag into the prompt. Splitting an
    answer again changes nothing.

    >>> split_thought("<think>It is 4.</think> It is 5.")
    ('It is 4.', 'It is 5.')
    """
    thought: list[str] = []
    answer: list[str] = []
    depth = end = 0
    for tag in _TAG.finditer(text):
        (thought if depth else answer).append(text[end : tag.start()])
        end = tag.end()
        if not tag.group(1):
            depth += 1
        elif depth:
            depth -= 1
        else:
            thought += answer
            answer = []
    if not end:
        return "", text.strip()
    (thought if depth else answer).append(text[end:])
    return _joined(thought), _joined(answer)


def _joined(parts: list[str]) -> str:
    return " ".join(part.strip() for part in parts if part.strip())
