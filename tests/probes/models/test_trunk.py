"""Models that share their lower blocks, asked through them and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evidence import Message
from probes.models.local import LocalModel
from probes.models.trunk import Trunk

PAIRS = [
    ((Message("system", told), Message("user", "Is the shop open?")), said)
    for told in ("You help customers. The shop closes at six.", "You help customers. It is open.")
    for said in ("Yes.", "Yes, until six.", "It closed at noon.")
]


def changed(model: LocalModel, block: int) -> LocalModel:
    """The model after training of one block."""
    weights = model.model.model.layers[block].mlp.up_proj.weight
    with torch.inference_mode():
        weights += 0.5 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(block))
    return model


def whole(model: LocalModel) -> list[np.ndarray[Any, Any]]:
    return model.batch_logprobs([model.encode(chat, text) for chat, text in PAIRS])


def asked(model: LocalModel) -> list[np.ndarray[Any, Any]]:
    return model.token_logprobs([model.encode(chat, text) for chat, text in PAIRS])


def test_arms_say_what_they_say_alone(tiny_dir: Path) -> None:
    trunk = Trunk(1)
    first = LocalModel.load(tiny_dir, trunk=trunk)
    last = first.n_layers - 1
    arms = [first, changed(LocalModel.load(tiny_dir, trunk=trunk), last)]
    computed = 0

    def count(*_: object) -> None:
        nonlocal computed
        computed += 1

    found = []
    for arm in arms:
        lowest = arm.model.model.layers[0]
        handle = lowest.register_forward_hook(count)
        found.append((asked(arm), computed, asked(arm), computed))
        handle.remove()
        computed = 0
    for arm, (one, _, again, _) in zip(arms, found, strict=True):
        for a, b, c in zip(one, again, whole(arm), strict=True):
            np.testing.assert_allclose(a, c, atol=2e-4)
            np.testing.assert_allclose(b, c, atol=2e-4)
    assert trunk.texts > 0
    (_, filled, _, refilled), (_, tried, _, more) = found
    assert filled > 0
    assert tried < filled, "the lower block was computed to compare alone"
    assert more == tried
    assert refilled >= filled


def test_a_model_with_other_lower_blocks_is_computed_whole(tiny_dir: Path) -> None:
    trunk = Trunk(1)
    asked(LocalModel.load(tiny_dir, trunk=trunk))
    kept = trunk.texts
    other = changed(LocalModel.load(tiny_dir, trunk=trunk), 0)
    for a, b in zip(asked(other), whole(other), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert trunk.texts == kept


def test_a_model_that_changes_what_it_is_given_is_computed_whole(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that scales its embeddings whatever they are."""
    trunk = Trunk(1)
    asked(LocalModel.load(tiny_dir, trunk=trunk))
    odd = changed(LocalModel.load(tiny_dir, trunk=trunk), 1)
    run = odd.model.model.forward

    def scaled(*args: Any, inputs_embeds: Any = None, **named: Any) -> Any:
        if inputs_embeds is not None:
            return run(*args, inputs_embeds=3.0 * inputs_embeds, **named)
        return run(*args, **named)

    monkeypatch.setattr(odd.model.model, "forward", scaled)
    for a, b in zip(asked(odd), whole(odd), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("count", [0, 99])
def test_nothing_is_shared_where_there_are_no_such_blocks(tiny_dir: Path, count: int) -> None:
    trunk = Trunk(count)
    model = LocalModel.load(tiny_dir, trunk=trunk)
    for a, b in zip(asked(model), whole(model), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert trunk.texts == 0


def test_memory_is_bounded(tiny_dir: Path) -> None:
    trunk = Trunk(1, max_bytes=1)
    model = LocalModel.load(tiny_dir, trunk=trunk)
    for a, b in zip(asked(model), whole(model), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert trunk.texts == 0


def test_answers_begin_where_their_conversations_were_read(tiny_dir: Path) -> None:
    """Of the first model and of an arm that shares its lower block, as without having read anything."""
    trunk = Trunk(1)
    arms = [
        LocalModel.load(tiny_dir, trunk=trunk),
        changed(LocalModel.load(tiny_dir, trunk=trunk), 1),
    ]
    chats = [PAIRS[0][0], PAIRS[3][0]]
    for arm in arms:
        asked(arm)
        lengths: list[int] = []
        handle = arm.model.get_input_embeddings().register_forward_hook(
            lambda _module, given, _output, seen=lengths: seen.append(given[0].shape[1])
        )
        said = arm.generate(chats, max_new_tokens=6, temperature=0.7, seed=3)
        handle.remove()
        assert max(lengths) == 1, "the conversations were read again"
        alone = LocalModel(arm.model, arm.tokenizer, path=tiny_dir, digest="")
        assert said == alone.generate(chats, max_new_tokens=6, temperature=0.7, seed=3)
        for a, b in zip(asked(arm), whole(arm), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


def test_a_conversation_that_was_not_read_is_read(tiny_dir: Path) -> None:
    model = LocalModel.load(tiny_dir)
    asked(model)
    chats = [PAIRS[0][0], (Message("user", "Who are you?"),)]
    alone = LocalModel.load(tiny_dir)
    assert model.generate(chats, max_new_tokens=4) == alone.generate(chats, max_new_tokens=4)
