"""Conversations that begin alike, read as one tree, give what they give one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from evidence import Message
from probes.models.encoding import Encoded
from probes.models.local import LocalModel
from probes.models.packs import distinct_tokens, packs
from probes.models.trees import TokenTrees


def sequences(seed: int, count: int) -> list[list[int]]:
    """Token lists of which many begin alike, some are others' beginnings, and some are equal."""
    rng = random.Random(seed)
    starts = [[rng.randrange(5, 200) for _ in range(rng.randrange(1, 30))] for _ in range(4)]
    out = []
    for _ in range(count):
        tail = [rng.randrange(5, 200) for _ in range(rng.randrange(1, 12))]
        out.append([*rng.choice(starts), *tail])
    return [*out, out[0], out[1][: len(out[1]) // 2 + 1]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("limit", [1, 40, 10_000])
def test_a_pack_holds_each_sequence_and_its_own_past_alone(seed: int, limit: int) -> None:
    given = sequences(seed, 12)
    found = list(packs(given, limit))
    paths = [(i, path, pack) for pack in found for i, path in pack.paths]
    assert sorted(i for i, _, _ in paths) == list(range(len(given)))
    for i, path, pack in paths:
        assert pack.ids[path].tolist() == given[i]
        assert pack.places[path].tolist() == list(range(len(given[i])))
        for place, node in enumerate(path):
            assert set(np.flatnonzero(pack.seen[node])) == set(path[: place + 1])
    for pack in found:
        assert len(pack.ids) <= limit or len(pack.paths) == 1 or limit == 1


def test_one_pack_of_all_has_every_distinct_beginning_once() -> None:
    given = sequences(3, 20)
    (pack,) = packs(given, 10_000)
    beginnings = {tuple(one[: n + 1]) for one in given for n in range(len(one))}
    assert len(pack.ids) == len(beginnings) == distinct_tokens(given)


def questions() -> list[tuple[tuple[Message, ...], str]]:
    told = Message(
        "system", "You help customers. The shop closes at six. Parcels take two days. " * 2
    )
    asked = ["When does the shop close?", "How long does a parcel take?", "Is the shop open now?"]
    said = ["At six.", "At six, as always.", "It takes two days.", "Nobody knows."]
    return [((told, Message("user", q)), a) for q in asked for a in said]


def test_trees_read_what_batches_read(tiny: LocalModel) -> None:
    encoded = [tiny.encode(chat, text) for chat, text in questions()]
    trees = TokenTrees(tiny)
    assert trees.pay(encoded)
    for tree, plain in zip(
        trees.token_logprobs(encoded), tiny.batch_logprobs(encoded), strict=True
    ):
        np.testing.assert_allclose(tree, plain, atol=2e-4)


def test_the_model_takes_the_tree_by_itself(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = questions()
    plain = tiny.batch_logprobs([tiny.encode(chat, text) for chat, text in pairs])
    assert len(tiny.loglikelihood(pairs)) == len(pairs)
    monkeypatch.setattr(tiny, "batch_logprobs", None)
    for found, row in zip(tiny.loglikelihood(pairs), plain, strict=True):
        assert found.sum_logprob == pytest.approx(float(row.sum()), abs=1e-3)


def test_an_empty_response_has_no_tokens(tiny: LocalModel) -> None:
    encoded = [tiny.encode(chat, text) for chat, text in questions()]
    found = TokenTrees(tiny).token_logprobs([*encoded, Encoded(encoded[0].prompt, [])])
    assert found[-1].shape == (0,)


def test_conversations_are_read_on_from_what_was_kept(tiny: LocalModel) -> None:
    encoded = [tiny.encode(chat, text) for chat, text in questions()]
    plain = tiny.batch_logprobs(encoded)
    trees = TokenTrees(tiny)
    read: list[int] = []
    whole = tiny.branch_logits

    def counted(ids: torch.Tensor, *more: Any) -> torch.Tensor:
        read.append(ids.shape[1])
        return whole(ids, *more)

    tiny.branch_logits = counted  # type: ignore[method-assign]
    try:
        for order in (range(4), range(12), reversed(range(12))):
            places = list(order)
            found = trees.token_logprobs([encoded[i] for i in places])
            for i, one in zip(places, found, strict=True):
                np.testing.assert_allclose(one, plain[i], atol=2e-4)
    finally:
        del tiny.branch_logits
    first, second, third = read
    new = sum(len(item.response) for item in encoded)
    assert first > third
    assert second < first + new, "the prompts that came again were not read again"
    assert third <= new


@pytest.mark.parametrize("room", [0, 30, 90, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_memory_is_bounded_and_what_was_dropped_is_read_anew(
    tiny: LocalModel, room: int, seed: int
) -> None:
    rng = random.Random(seed)
    given = sequences(seed, 30)
    cut = [rng.randrange(1, len(one)) if len(one) > 1 else 1 for one in given]
    encoded = [Encoded(one[:n], one[n:]) for one, n in zip(given, cut, strict=True)]
    plain = tiny.batch_logprobs(encoded)
    config = tiny.model.config
    width = config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    trees = TokenTrees(tiny, room * 2 * config.num_hidden_layers * width * 4)
    for _ in range(12):
        places = rng.sample(range(len(encoded)), rng.randrange(1, 9))
        found = trees.token_logprobs([encoded[i] for i in places])
        for i, one in zip(places, found, strict=True):
            np.testing.assert_allclose(one, plain[i], atol=2e-4)
        assert trees.kept_tokens <= room


def test_a_conversation_that_comes_again_alone_is_kept(tiny: LocalModel) -> None:
    item = tiny.encode(*questions()[0])
    trees = TokenTrees(tiny)
    assert not trees.pay([item]), "nothing is shared yet"
    assert trees.pay([item])
    trees.token_logprobs([item])
    assert trees.kept_tokens == len(item.prompt)


def test_attention_with_a_window_is_read_in_batches(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.model.config, "sliding_window", 8, raising=False)
    kinds = ["sliding_attention"] * tiny.model.config.num_hidden_layers
    monkeypatch.setattr(tiny.model.config, "layer_types", kinds, raising=False)
    assert not TokenTrees(tiny).pay([tiny.encode(chat, text) for chat, text in questions()])


class Recurrent:
    """A model that heeds no mask: what stands before a token counts, seen or not."""

    dtype = "float32"

    def __init__(self, tiny: LocalModel) -> None:
        self.trees = 0
        self.model = tiny.model

    def branch_logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        keep: int | torch.Tensor,
        past: DynamicCache | None = None,
    ) -> torch.Tensor:
        if past is not None:
            for layer in range(self.model.config.num_hidden_layers):
                kept = torch.zeros(1, 1, ids.shape[1], 4)
                past.update(kept, kept, layer)
        self.trees += 1
        state = ids.cumsum(-1).float()[..., None] * torch.arange(300).float() / 1000
        return state[:, keep] if isinstance(keep, torch.Tensor) else state[:, -keep:]

    def batch_logprobs(self, encoded: Sequence[Encoded]) -> list[np.ndarray]:
        out = []
        for item in encoded:
            ids = torch.tensor([[*item.prompt, *item.response]])
            rows = self.branch_logits(ids, ids, ids, ids.shape[1])[0].log_softmax(-1)
            n = len(item.response)
            out.append(rows[-n - 1 : -1].gather(1, ids[0, -n:, None])[:, 0].double().numpy())
        return out


def test_a_model_that_heeds_no_mask_is_read_in_batches(tiny: LocalModel) -> None:
    model = Recurrent(tiny)
    trees = TokenTrees(model)
    encoded = [Encoded([7, 8, 9, 10], [11, i, 12]) for i in range(20, 24)]
    assert not trees.pay(encoded)
    asked = model.trees
    assert not trees.pay(encoded)
    assert model.trees == asked
