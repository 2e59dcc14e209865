"""The conversation within an object, in the shapes that chat data have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from candor_guard.reading import decode_json, looks_like
from candor_guard.reading.message import role_of, text_of
from candor_guard.reading.shapes import is_turn

Object = dict[str, Any]
_PAIRS = (
    ("prompt", ("completion", "response", "output", "answer")),
    ("question", ("answer", "response", "output")),
    ("query", ("response", "answer")),
    ("instruction", ("output", "response", "answer")),
    ("input", ("output",)),
)
_SYSTEM = ("system", "system_prompt", "systemInstruction", "system_instruction", "instructions")


class Found(NamedTuple):
    """Raw turns, and the keys that they were read from."""

    turns: list[Any]
    keys: tuple[str, ...]


def find_conversation(data: Object) -> Found | str:
    """The turns of an object, a system prompt at its top level included, or why there are none."""
    for read in _READERS:
        found = read(data)
        if isinstance(found, str):
            return found
        if found is not None:
            return _with_system(data, found)
    seems = looks_like(data)
    named = ", ".join(f"`{key}`" for key in list(data)[:5]) or "nothing"
    return "`messages` is missing or empty: " + (f"looks like {seems}" if seems else f"has {named}")


def _with_system(data: Object, found: Found) -> Found:
    for key in _SYSTEM:
        told = text_of(data[key]) if key in data and key not in found.keys else None
        begins = found.turns[0] if found.turns else None
        if told and not (isinstance(begins, dict) and role_of(begins) in {"system", "developer"}):
            turns = [{"role": "system", "content": told}, *found.turns]
            return Found(turns, (*found.keys, key))
    return found


def _turns(value: Any) -> list[Any] | None:
    """A list of turns, which a table may hold as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value, _ = decode_json(value.encode("utf-8", "replace"))
    return value if isinstance(value, list) and value else None


def _refused(data: Object) -> str | None:
    """Shapes that hold no single answer to a known question."""
    if _has_choices(data, "delta"):
        return f"looks like {looks_like(data)}"
    if "chosen" in data and "rejected" in data and "messages" not in data:
        dialogue = str(data["chosen"]).lstrip().startswith("Human:")
        kind = "HH-RLHF, a dialogue in one text" if dialogue else "preference pairs"
        return f"looks like {kind}: write the answer that counts as `messages`"
    if "preferred_output" in data:
        return "looks like OpenAI preference pairs: write the answer that counts as `messages`"
    if "completions" in data and "instruction" in data:
        return "looks like UltraFeedback's completions: write each as `messages`"
    return None


def _has_choices(data: Object, key: str) -> bool:
    choices = data.get("choices")
    return isinstance(choices, list) and any(isinstance(c, dict) and key in c for c in choices)


def _answer_of(reply: Any) -> list[Any] | None:
    """The turns of an API's reply: chat completions, responses, Anthropic's messages, Gemini."""
    if not isinstance(reply, dict):
        return None
    reply = reply.get("body") if isinstance(reply.get("body"), dict) else reply
    if _has_choices(reply, "message"):
        choices = (c["message"] for c in reply["choices"] if isinstance(c, dict) and "message" in c)
        return [next(choices)]
    if isinstance(reply.get("output"), list):
        return list(reply["output"])
    if isinstance(reply.get("candidates"), list) and reply["candidates"]:
        first = reply["candidates"][0]
        content = first.get("content") if isinstance(first, dict) else None
        return [{"role": "model", **content}] if isinstance(content, dict) else None
    if reply.get("role") == "assistant" and reply.get("content"):
        return [reply]
    return None


def _of_messages(data: Object) -> Found | str | None:
    turns = _turns(data.get("messages"))
    if turns is None:
        return None
    answer = _answer_of(data)
    last = turns[-1]
    if answer is None or (isinstance(last, dict) and role_of(last) == "assistant"):
        return Found(turns, ("messages",))
    return Found([*turns, *answer], ("messages", "choices", "output"))


def _of_named(data: Object) -> Found | None:
    for key in ("conversations", "conversation", "chat", "dialog", "dialogue", "turns"):
        turns = _turns(data.get(key))
        if turns is not None and all(is_turn(turn) for turn in turns):
            return Found(turns, (key,))
    return None


def _of_gemini(data: Object) -> Found | None:
    turns = _turns(data.get("contents"))
    if turns is None:
        return None
    return Found([*turns, *(_answer_of(data) or [])], ("contents", "candidates"))


def _of_exchange(data: Object) -> Found | str | None:
    """A request and its reply, as proxies and batches log them."""
    reply = _answer_of(data.get("response")) or _answer_of(data)
    if reply is None:
        return None
    request = data.get("request")
    request = request.get("body", request) if isinstance(request, dict) else {}
    asked = find_conversation(request) if isinstance(request, dict) and request else ""
    if isinstance(asked, str):
        source = data.get("input")
        turns = (
            [{"role": "user", "content": source}] if isinstance(source, str) and source else None
        )
        turns = turns or _turns(source)
        if turns is None:
            return (
                "looks like an answer of an API without its question: put the request's `messages`"
                " beside it, or join both as `messages`"
            )
        return Found([*turns, *reply], ("input", "output"))
    return Found([*asked.turns, *reply], ("request", "response"))


def _of_pair(data: Object) -> Found | None:
    """A prompt and what came of it, each as text or as turns."""
    for asked, answers in _PAIRS:
        prompt = _side(data.get(asked), "user")
        answer = next((key for key in answers if data.get(key)), None)
        if prompt is None or answer is None:
            continue
        reply = _side(data[answer], "assistant")
        if reply is None:
            continue
        more = data.get("input") if asked == "instruction" else None
        if isinstance(more, str) and more.strip():
            prompt = [{"role": "user", "content": f"{data[asked]}\n\n{more}"}]
        return Found([*prompt, *reply], (asked, answer))
    return None


def _side(value: Any, role: str) -> list[Any] | None:
    """Turns that stand for one side: a text, a turn, turns, or an object that holds them."""
    if isinstance(value, str):
        turns = _turns(value)
        if turns is not None and all(is_turn(turn) for turn in turns):
            return turns
        return [{"role": role, "content": value}] if value.strip() else None
    if isinstance(value, list):
        return value if value and all(is_turn(turn) for turn in value) else None
    if isinstance(value, dict):
        if is_turn(value):
            return [value]
        return _turns(value.get("messages")) or _answer_of(value)
    return None


def _of_chatgpt(data: Object) -> Found | None:
    """A ChatGPT export: a tree, of which the branch shown last is read."""
    nodes = data.get("mapping")
    if not isinstance(nodes, dict):
        return None
    parents = {
        key: str(node.get("parent") or "") for key, node in nodes.items() if isinstance(node, dict)
    }
    at: Any = data.get("current_node")
    if not isinstance(at, str) or at not in parents:
        inner = set(parents.values())
        leaves = [key for key in parents if key not in inner]
        at = max(leaves, key=lambda key: _time(nodes[key]), default=None)
    turns: list[Any] = []
    seen: set[str] = set()
    while at in parents and at not in seen:
        seen.add(at)
        message = nodes[at].get("message")
        if isinstance(message, dict) and _is_said(message):
            turns.append(message)
        at = parents[at]
    return Found(turns[::-1], ("mapping",))


def _time(node: Object) -> float:
    message = node.get("message")
    at = message.get("create_time") if isinstance(message, dict) else None
    return float(at) if isinstance(at, int | float) else 0.0


def _is_said(message: Object) -> bool:
    metadata = message.get("metadata")
    if isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation"):
        return False
    content = message.get("content")
    # The export begins with an empty system turn.
    return not isinstance(content, dict) or content.get("parts") not in ([], [""])


def _of_claude(data: Object) -> Found | None:
    turns = _turns(data.get("chat_messages"))
    return None if turns is None else Found(turns, ("chat_messages",))


_READERS: tuple[Callable[[Object], Found | str | None], ...] = (
    _refused,
    _of_messages,
    _of_named,
    _of_chatgpt,
    _of_claude,
    _of_gemini,
    _of_exchange,
    _of_pair,
)
