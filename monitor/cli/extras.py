"""Optional parts: which extra brings a module that is not installed."""

from __future__ import annotations

from collections.abc import Mapping

EXTRA_OF: Mapping[str, str] = {
    "gguf": "local",
    "safetensors": "local",
    "sklearn": "local",
    "skops": "local",
    "torch": "local",
    "transformers": "local",
    "accelerate": "retrain",
    "datasets": "retrain",
    "datasketch": "retrain",
    "inspect_ai": "retrain",
    "peft": "retrain",
    "pyarrow": "retrain",
    "trl": "retrain",
    "ray": "ray",
    "psycopg": "postgres",
    "grpc": "grpc",
    "vllm": "gpu",
    "OpenSSL": "signing",
    "model_signing": "signing",
}
"""Importable package → extra of the distribution, as pyproject.toml has them."""


def missing_extra(error: ImportError) -> str | None:
    """One sentence that names the extra for a failed import; None when no extra brings it."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(module)
    if extra is None:
        return None
    return (
        f"this needs the extra `{extra}` ({module} is missing): "
        f"pip install 'candor-monitor[{extra}]'"
    )
