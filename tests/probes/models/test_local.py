from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evidence import BadInputError, Message
from probes.models.chat import ChatModel, LikelihoodModel
from probes.models.encoding import fit
from probes.models.local import LocalModel
from probes.models.messages import defuse, plain
from probes.models.questions import yes_probabilities

ASK = (Message("user", "Was it recalled?"),)
LONG = (Message("system", "Facts. " * 30), Message("user", "Tell me."))


def test_meets_the_protocols(tiny: LocalModel) -> None:
    assert isinstance(tiny, ChatModel)
    assert isinstance(tiny, LikelihoodModel)
    assert len(tiny.digest) == 64


def test_greedy_text_does_not_depend_on_the_batch(tiny: LocalModel) -> None:
    chats = [ASK, LONG, ASK]
    together = tiny.generate(chats, max_new_tokens=12)
    assert together == [tiny.generate([chat], max_new_tokens=12)[0] for chat in chats]


def test_greedy_text_is_what_transformers_generates(tiny: LocalModel) -> None:
    ids = torch.tensor([tiny.encode(LONG).prompt])
    found = tiny.model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    expected = tiny.tokenizer.decode(found, skip_special_tokens=True).strip()
    assert tiny.generate([ASK, LONG], max_new_tokens=12)[1] == expected


def test_sampled_rows_have_streams_of_their_own(tiny: LocalModel) -> None:
    both = tiny.generate([ASK, ASK, LONG], max_new_tokens=12, temperature=1.0, seed=1)
    assert both[0] != both[1]
    assert tiny.generate([ASK], max_new_tokens=12, temperature=1.0, seed=1) == both[:1]
    assert tiny.generate([LONG], max_new_tokens=12, temperature=1.0, seed=1) == both[2:]
    assert tiny.generate([ASK], max_new_tokens=12, temperature=1.0, seed=2) != both[:1]


def test_samples_follow_the_distribution(tiny: LocalModel) -> None:
    ids = torch.tensor([tiny.encode(ASK).prompt])
    with torch.inference_mode():
        expected = torch.softmax(tiny.model(ids).logits[0, -1].float(), -1)
    drawn = tiny.generate([ASK] * 2000, max_new_tokens=1, temperature=1.0)
    top = int(expected.argmax())
    text = tiny.tokenizer.decode([top], skip_special_tokens=True).strip()
    same = [k for k in range(len(expected)) if tiny.tokenizer.decode([k]).strip() == text]
    p = float(expected[same].sum())
    assert abs(np.mean([one == text for one in drawn]) - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_likelihood_equals_an_unpadded_pass(tiny: LocalModel) -> None:
    pairs = [(ASK, "Yes, it was."), (LONG, "No."), (ASK, "")]
    found = tiny.loglikelihood(pairs)
    for (chat, text), one in zip(pairs[:2], found, strict=False):
        item = tiny.encode(chat, text)
        ids = torch.tensor([item.prompt + item.response])
        with torch.inference_mode():
            scores = torch.log_softmax(tiny.model(ids).logits[0].float(), -1)
        n = len(item.prompt)
        expected = sum(float(scores[n - 1 + k, t]) for k, t in enumerate(item.response))
        assert one.sum_logprob == pytest.approx(expected, abs=1e-3)
        assert one.n_tokens == len(item.response)
    assert found[2].n_tokens == 0
    assert found[2].mean == 0.0


def test_hidden_states_equal_those_of_transformers(tiny: LocalModel) -> None:
    items = [tiny.encode(ASK, "Yes, it was."), tiny.encode(LONG, "No."), tiny.encode(ASK, "")]
    found = tiny.hidden(items, (1, 2))
    for item, states in zip(items[:2], found, strict=False):
        ids = torch.tensor([item.prompt + item.response])
        with torch.inference_mode():
            expected = tiny.model(ids, output_hidden_states=True).hidden_states
        for row, layer in enumerate((1, 2)):
            want = expected[layer][0, -len(item.response) :].numpy()
            assert np.abs(states[row] - want).max() < 1e-4
    assert found[2].shape == (2, 0, 32)


def test_questions_in_one_pass_equal_separate_calls(tiny: LocalModel) -> None:
    questions = ["Is it true?", "Is it a dodge, or not quite?"]
    prompts = ["CONVERSATION: short", "CONVERSATION: " + "long " * 40]
    together = yes_probabilities(tiny, prompts, "Judge.", questions)
    for prompt, (found, _) in zip(prompts, together, strict=True):
        for question, p in zip(questions, found, strict=True):
            ((alone,), _) = yes_probabilities(tiny, [prompt], "Judge.", [question])[0]
            assert p == pytest.approx(alone, abs=1e-4)


def test_a_folder_without_a_model_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"config\.json"):
        LocalModel.load(tmp_path)


def test_fit_keeps_head_tail_and_response() -> None:
    prompt, response = list(range(100)), list(range(1000, 1010))
    found = fit(prompt, response, 50)
    assert len(found) == 50
    assert found.response == response
    assert found.prompt[:20] == prompt[:20]
    assert found.prompt[-20:] == prompt[-20:]
    crowded = fit(prompt, list(range(1000, 2000)), 50)
    assert len(crowded) == 50
    assert crowded.response[0] == 1000
    assert crowded.response[-1] == 1999


@pytest.mark.parametrize("mark", ["<|im_end|>", "<s>", "[INST]", "<end_of_turn>", "<|eot_id|>"])
def test_content_cannot_close_its_turn(tiny: LocalModel, mark: str) -> None:
    assert mark not in defuse(f"a {mark} b")
    ids = tiny.encode((Message("user", f"a {mark} b"),)).prompt
    assert ids.count(tiny.tokenizer.eos_token_id) == 1


def test_roles_are_normalised() -> None:
    turns = plain([Message("developer", "a"), Message("system", "b"), Message("tool", "c")])
    assert turns == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "[tool] c"},
    ]
