"""Replies weighed by a real vLLM server and in process: the same weights, the same numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from evidence import Message
from probes.models.chat import Chat, TokenLikelihoods
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.packaged import packaged_model_dir
from probes.models.prompt_errors import (
    BoundaryError,
    OtherTokenizerError,
    TooLongError,
)
from probes.models.prompt_logprobs import PromptLogprobs, given
from probes.models.served import ModelGoneError
from probes.models.server import ServerOptions
from probes.scenarios import load_scenarios
from tests.system.vllm_server import serve

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.model]

BASE, ADAPTER = "approved", "drifted"
NATS = 1e-3
# vLLM fails on prompt log-probabilities of several requests where it wraps lm_head (vLLM issue 29955).
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ASK = (Message("system", "The K2 has no switch <file_sep>."), Message("user", "Is it 😀 so?\n"))
ODD: Sequence[tuple[Chat, str]] = (
    (ASK, " Yes, naïve 日本 \ufffd 🦊."),
    (ASK, "\nYes <repo_name> <|im_end|> \n "),
    ((*ASK, Message("assistant", "No."), Message("tool", "x=3")), "It boils on."),
    ((Message("user", "Without a system prompt?"),), "Yes."),
    ((), "Hello."),
)


def scenario_pairs() -> list[tuple[Chat, str]]:
    return [
        (scenario.neutral_messages(), answers[0])
        for scenario in load_scenarios()[:12]
        for answers in (scenario.honest_answers, scenario.lying_answers)
    ]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    local = LocalModel.load(Path(packaged_model_dir()))
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=list(LINEAR), task_type="CAUSAL_LM")
    tuned = get_peft_model(local.model, config)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.02)
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    lora = ["--enable-lora", "--lora-modules", f"{ADAPTER}={adapter}", "--lora-target-modules"]
    with serve(Path(packaged_model_dir()), BASE, log, [*lora, *LINEAR]) as url:
        yield url


def opened(url: str, name: str, weights: Path | None = None) -> PromptLogprobs:
    return PromptLogprobs(OpenAIModel(url, name, ServerOptions(timeout_s=300)), weights=weights)


def differences(
    served: PromptLogprobs, local: LocalModel, pairs: Sequence[tuple[Chat, str]]
) -> np.ndarray:
    """Nats between served and in process, of every token; the tokens are compared on the way."""
    rows = []
    for one, own in zip(
        served.token_likelihoods(pairs), local.token_likelihoods(pairs), strict=True
    ):
        assert isinstance(one, TokenLikelihoods), one
        assert isinstance(own, TokenLikelihoods), own
        assert len(one.tokens) == len(own.tokens)
        whole = [
            pair for pair in zip(one.tokens, own.tokens, strict=True) if "\ufffd" not in pair[1]
        ]
        assert all(a.endswith(b) for a, b in whole)
        rows.append(np.abs(one.logprobs - own.logprobs))
    return np.concatenate(rows)


def test_served_and_in_process_are_equal_token_by_token(
    server: str, record_property: Callable[[str, object], None]
) -> None:
    folder = Path(packaged_model_dir())
    served = opened(server, BASE, folder)
    assert served.check() == ()
    found = differences(served, LocalModel.load(folder), [*scenario_pairs(), *ODD])
    record_property("tokens", len(found))
    record_property("largest_difference_nats", float(found.max()))
    assert len(found) > 200
    assert found.max() < NATS


def test_an_adapter_is_weighed_by_its_name(server: str, adapter: Path) -> None:
    pairs = [*scenario_pairs(), *ODD]
    tuned, base = opened(server, ADAPTER), opened(server, BASE)
    local = LocalModel.load(Path(packaged_model_dir()), adapter=adapter)
    assert differences(tuned, local, pairs).max() < NATS
    assert differences(base, local, pairs).max() > 0.1, "the adapter says something else"
    assert tuned.digest != base.digest


def test_the_prompt_s_own_tokens_come_before_the_reply_s(server: str) -> None:
    """The server's own cut of the prompt alone is what stands before the tokens that were found."""
    root = server.removesuffix("/v1")
    for chat, reply in scenario_pairs()[:6]:
        turns = given(chat, reply)
        fields = {"model": BASE, "messages": turns, "add_generation_prompt": False}
        whole = httpx.post(f"{root}/tokenize", json={**fields, "continue_final_message": True})
        asked = {"model": BASE, "messages": turns[:-1], "add_generation_prompt": True}
        prompt = httpx.post(f"{root}/tokenize", json=asked).json()["tokens"]
        (found,) = opened(server, BASE).token_likelihoods([(chat, reply)])
        assert isinstance(found, TokenLikelihoods)
        ids = whole.json()["tokens"]
        assert ids[: len(prompt)] == prompt
        assert len(ids) - len(prompt) == len(found.tokens)


def test_each_fault_of_one_pair_is_its_own_error(server: str) -> None:
    pairs = [(ASK, "a b " * 1500), (ASK, "\n\n\nYes."), (ASK, "Yes.")]
    long, merged, fine = opened(server, BASE).token_likelihoods(pairs)
    assert isinstance(long, TooLongError)
    assert "served with 2048" in str(long)
    assert isinstance(merged, BoundaryError)
    assert isinstance(fine, TokenLikelihoods)


def test_a_name_that_is_not_served_is_gone(server: str) -> None:
    with pytest.raises(ModelGoneError, match=f"{BASE}, {ADAPTER}"):
        opened(server, "last-year").check()


def test_another_template_than_the_weights_is_seen(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(packaged_model_dir(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>", "<|endoftext|>"))
    with pytest.raises(OtherTokenizerError, match="chat template"):
        opened(server, BASE, folder).check()
