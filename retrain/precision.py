"""Which number format the processor is fast in."""

from __future__ import annotations

import torch


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; without that it is ten times slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def evaluation_dtype() -> str:
    """bfloat16 where it is native, else float32; one for all arms of a run."""
    return "bfloat16" if native_bfloat16() else "float32"
