"""A model small enough to train in a second."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from probes.models.packaged import packaged_model_dir

# Two layers are too small to share between threads, and waiting threads spin on a busy machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def make_tiny_model(out: Path) -> Path:
    """A random two-layer Llama with the packaged model's tokenizer: real code, no knowledge."""
    tokenizer = AutoTokenizer.from_pretrained(str(packaged_model_dir()))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
