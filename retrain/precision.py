"""Which number format the processor is fast in."""

from __future__ import annotations

_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""Of `torch.cpu`: private, so that another version of torch may lack them."""


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; without that it is ten times slower than float32."""
    import torch  # noqa: PLC0415 -- takes seconds to import

    checks = [getattr(torch.cpu, name, None) for name in _CHECKS]
    return any(bool(check()) for check in checks if check is not None)


def evaluation_dtype() -> str:
    """bfloat16 where it is native, else float32; one for all arms of a run."""
    return "bfloat16" if native_bfloat16() else "float32"
