"""Hidden states over HTTP: the same as in process, and every wrong answer of a server by its name."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from evidence import BadInputError, CandorError, Message
from evidence.errors import WrongAnswerError
from probes.models.lens import LensModel
from probes.models.lens_reply import Packed, unpack
from probes.models.local import LocalModel
from tests.probes.lens import Change, LensServer, Reply, opened

CHAT = (Message("system", "Be kind."), Message("user", "Was it recalled?"))
TEXTS = ["Yes, it was recalled.", "No", "", "Nothing was wrong with it. " * 20]


def encoded(model: LocalModel | LensModel) -> list[Any]:
    return [model.encode(CHAT, text) for text in TEXTS]


@pytest.mark.parametrize("forgets", [False, True], ids=["binary", "another process holds them"])
def test_states_are_those_of_the_model_in_process(
    tiny: LocalModel, tiny_dir: Path, forgets: bool
) -> None:
    server = LensServer(tiny, forgets=forgets)
    lens = opened(server, tiny_dir)
    assert (lens.name, lens.dtype, lens.n_layers, lens.width) == ("m", "float32", 3, 32)
    items = encoded(tiny)
    assert encoded(lens)[:3] == items[:3]
    for whole in (False, True):
        ours = tiny.hidden(items, (3, 1), whole=whole)
        theirs = lens.hidden(items, (3, 1), whole=whole)
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            assert np.allclose(a, b, atol=1e-4)
    inline = [body["vllm_xargs"].get("activations_transport") is None for body in server.sent[1:]]
    assert any(inline) == forgets, "inline only where a handle led nowhere"
    assert inline[-1] == forgets, "and from then on"


def test_a_conversation_is_cut_to_the_servers_context(tiny: LocalModel, tiny_dir: Path) -> None:
    lens = opened(LensServer(tiny), tiny_dir)
    long = lens.encode(CHAT, "Nothing was wrong. " * 400, max_tokens=768)
    assert len(long) == 399, "one token of the 400 is the one that the server must write"
    assert lens.encode(CHAT, "No").response == tiny.encode(CHAT, "No").response


def test_the_weights_in_the_folder_are_its_identity(
    tiny: LocalModel, tiny_dir: Path, tmp_path: Path
) -> None:
    assert opened(LensServer(tiny), tiny_dir).digest == tiny.digest
    shutil.copytree(tiny_dir, tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "model.safetensors").unlink()
    bare = opened(LensServer(tiny), tmp_path / "tokenizer")
    assert bare.digest not in {tiny.digest, ""}
    assert bare.n_layers == tiny.n_layers


def test_the_likeliest_turn_is_asked_for(tiny: LocalModel, tiny_dir: Path) -> None:
    server = LensServer(tiny)
    found = opened(server, tiny_dir).generate([CHAT, CHAT[1:]], max_new_tokens=4)
    assert set(found) <= {"Yes.", "No."}
    assert {body["max_tokens"] for body in server.sent[1:]} == {4}
    assert {body["temperature"] for body in server.sent} == {0.0}


def without(reply: Reply) -> Reply:
    return {k: v for k, v in reply.items() if k != "activations"}


def with_tokens(tokens: Any) -> Change:
    def change(reply: Reply) -> Reply:
        return {**reply, "choices": [{"text": "x", "prompt_token_ids": tokens}]}

    return change


def packed(**fields: Any) -> Change:
    def change(reply: Reply) -> Reply:
        stream = {**reply["activations"]["residual_stream"], **fields}
        return {**reply, "activations": {"residual_stream": stream}}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without, "plugin vllm-lens"),
        (with_tokens([5, 6, 7]), "other tokens than the folder's tokenizer"),
        (with_tokens(None), "does not say how it cuts text"),
        (packed(shape=[1, 9, 64]), "width 64, the model of the folder 32"),
        (packed(shape=[]), "width 0"),
    ],
    ids=["no plugin", "other tokenizer", "silent tokenizer", "other width", "no shape"],
)
def test_a_server_that_does_not_fit_is_refused_when_it_is_opened(
    tiny: LocalModel, tiny_dir: Path, change: Change, words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        opened(LensServer(tiny, change=change), tiny_dir)


def test_a_folder_or_a_name_that_is_not_there_is_refused(
    tiny: LocalModel, tiny_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=r"config\.json is missing"):
        opened(LensServer(tiny), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(BadInputError, match="tokenizer"):
        opened(LensServer(tiny), tmp_path)
    with pytest.raises(BadInputError, match="serves no model 'other'; it serves m"):
        LensModel.open("http://l/v1", tiny_dir, model="other", transport=LensServer(tiny).transport)
    lens = opened(LensServer(tiny), tiny_dir)
    for layer in (0, 4):
        with pytest.raises(BadInputError, match="blocks 1 to 3"):
            lens.hidden([lens.encode(CHAT, "No")], (layer,))


def bomb(size: int) -> str:
    return base64.b64encode(zstandard.ZstdCompressor().compress(b"\0" * size)).decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": bomb(1 << 28)}, "bytes of states for shape"),
        ({"data": bomb(8)}, "8 bytes of states"),
        ({"data": "?"}, "base64"),
        ({"data": base64.b64encode(b"no zstd").decode()}, "zstd"),
        ({"compression": "lzma"}, "packed by 'lzma'"),
        ({"dtype": "object"}, "stored as 'object'"),
        ({"dtype": "int16"}, "bytes of states"),
        ({"shape": [1, 2, 32]}, r"shape \[1, 2, 32\]"),
        ({"data": None, "handle": "../../secret"}, "neither data nor a handle"),
        ({"data": None}, "neither data nor a handle"),
        ({"data": "A" * (1 << 22)}, "more than"),
    ],
)
def test_hostile_states_are_an_error_of_the_server(
    tiny: LocalModel, tiny_dir: Path, fields: Reply, words: str
) -> None:
    server = LensServer(tiny)
    lens = opened(server, tiny_dir)
    server.change = packed(**fields)
    lens._binary = False
    with pytest.raises(WrongAnswerError, match=words):
        lens.hidden([lens.encode(CHAT, "No")], (2,))


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {"choices": []}, {"choices": 1}])
def test_a_reply_that_is_none_is_an_error_of_the_server(
    tiny: LocalModel, tiny_dir: Path, body: Reply
) -> None:
    server = LensServer(tiny)
    lens = opened(server, tiny_dir)
    server.change = lambda _reply: body
    with pytest.raises(CandorError, match="answered"):
        lens.hidden([lens.encode(CHAT, "No")], (2,))


def test_bfloat16_and_float16_are_read_as_they_were_computed() -> None:
    values = np.array([[[1.5, -0.15625], [3e38, 1.0]]], np.float32)
    top = (values.view(np.uint32) >> 16).astype(np.uint16).view(np.int16)
    as_bf16 = Packed("int16", (1, 2, 2), original_dtype="torch.bfloat16")
    found = unpack(as_bf16, top.tobytes(), (1, 2, 2))
    assert found.dtype == np.float32
    assert np.allclose(found, values, rtol=2**-7)
    half = values[:, :1].astype(np.float16)
    assert unpack(Packed("float16", (1, 1, 2)), half.tobytes(), (1, 1, 2)).tolist() == (
        values[:, :1].tolist()
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_states_that_are_no_numbers_are_never_scored(value: float) -> None:
    raw = np.array([[[value]]], np.float32).tobytes()
    with pytest.raises(ValueError, match="not finite"):
        unpack(Packed("float32", (1, 1, 1)), raw, (1, 1, 1))
