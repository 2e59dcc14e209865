from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from gate_values import ASSISTANT, context, report, row
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from candor_guard import (
    ANY_ASSISTANT,
    ANY_MODEL,
    NOT_CHECKED,
    RefusedError,
    attest,
    load_guarded,
    verify,
)
from candor_guard.decision import PAYLOAD_TYPE
from candor_guard.rows import parse_row, row_or_unreadable, write_rows
from candor_guard.stamp import STAMP
from evidence import BadInputError
from retrain.gate import decide, override
from retrain.policy import Policy
from retrain.report import Finding, read_report
from retrain.signing import (
    generate_keypair,
    public_pem,
    read_decision,
    sign,
    unsigned,
)

N = 12
ROWS = [row(i) for i in range(N)]
KEPT = [r for i, r in enumerate(ROWS) if i not in (2, 9)]
NOW = 1_000_000.0
CURATED = Policy(believed_sources=("curated",))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return generate_keypair(tmp_path_factory.mktemp("keys") / "gate.pem")


def _decision(**fields: Any) -> Any:
    return decide(ROWS, context(N, lies=(2, 9), at_s=NOW, **fields), Policy(), now_s=NOW)


@pytest.fixture
def signed(keys: tuple[Path, Path], tmp_path: Path) -> Path:
    path = tmp_path / "decision.json"
    path.write_text(sign(_decision(confirm=report(ROWS, KEPT, at_s=NOW)), keys[0]))
    return path


def _load(rows: Any, decision: Path, keys: tuple[Path, Path], **options: Any) -> Any:
    options = {"clock": lambda: NOW + 10, "assistant": ASSISTANT, "revoked": NOT_CHECKED} | options
    return load_guarded(rows, decision, keys[1], **options)


def _code(rows: Any, decision: Path, keys: tuple[Path, Path], **options: Any) -> str:
    with pytest.raises(RefusedError) as error:
        _load(rows, decision, keys, **options)
    return error.value.code


def test_released_rows_load_and_all_rows_load_without_the_removed(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    write_rows(tmp_path / "kept.jsonl", KEPT)
    write_rows(tmp_path / "all.parquet", ROWS)
    for rows in (tmp_path / "kept.jsonl", tmp_path / "all.parquet", KEPT, ROWS):
        guarded = _load(rows, signed, keys)
        assert list(guarded) == KEPT
        assert guarded.fingerprint == guarded.decision.subject_digest
        assert (len(guarded), guarded[0], guarded[:2]) == (10, KEPT[0], KEPT[:2])


def test_changed_missing_added_or_moved_rows_are_refused(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    changed = [*KEPT[:-1], row(11, answer="Yes.")]
    poisoned_all = [*ROWS[:2], row(2, answer="Yes."), *ROWS[3:-1], row(11, answer="Yes.")]
    for rows in (changed, KEPT[:-1], [*KEPT, KEPT[0]], KEPT[::-1], poisoned_all, []):
        assert _code(rows, signed, keys) == "other_rows"


def test_every_changed_byte_of_the_envelope_is_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    envelope = json.loads(signed.read_text())
    payload = bytearray(base64.b64decode(envelope["payload"]))
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    bad = tmp_path / "bad.json"
    for field, data in (("payload", payload), ("sig", signature)):
        for position in range(0, len(data), 7):
            data[position] ^= 1
            changed = json.loads(signed.read_text())
            if field == "payload":
                changed["payload"] = base64.b64encode(data).decode()
            else:
                changed["signatures"][0]["sig"] = base64.b64encode(data).decode()
            bad.write_text(json.dumps(changed))
            assert _code(KEPT, bad, keys) == "bad_signature"
            data[position] ^= 1


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"payload": "!!", "payloadType": "x", "signatures": []}', "\x00"],
)
def test_what_is_no_envelope_is_refused(text: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert _code(KEPT, path, keys) in {"malformed", "bad_signature"}


def test_another_key_no_signature_and_another_type_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = generate_keypair(tmp_path / "other.pem")
    assert _code(KEPT, signed, other) == "bad_signature"
    signed.write_text(unsigned(_decision(confirm=report(ROWS, KEPT, at_s=NOW))))
    assert _code(KEPT, signed, keys) == "bad_signature"
    envelope = json.loads(sign(_decision(confirm=report(ROWS, KEPT, at_s=NOW)), keys[0]))
    envelope["payloadType"] = "application/other"
    signed.write_text(json.dumps(envelope))
    assert _code(KEPT, signed, keys) == "malformed"


def test_expired_future_and_revoked_decisions_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    expiry = NOW + Policy().expiry_s
    assert _code(KEPT, signed, keys, clock=lambda: expiry) == "expired"
    assert _code(KEPT, signed, keys, clock=lambda: NOW - 3600) == "not_yet_valid"
    decision_id = _load(KEPT, signed, keys).decision.decision_id
    assert _code(KEPT, signed, keys, revoked=[decision_id]) == "revoked"
    revoked = tmp_path / "revoked.json"
    revoked.write_text(json.dumps([decision_id]))
    assert _code(KEPT, signed, keys, revoked=revoked) == "revoked"
    for broken in ("{", '{"a": 1}', "[1]"):
        revoked.write_text(broken)
        with pytest.raises(BadInputError):
            _load(KEPT, signed, keys, revoked=revoked)
    with pytest.raises(BadInputError):
        _load(KEPT, signed, keys, revoked=tmp_path / "none.json")


@pytest.mark.parametrize(
    "fields",
    [
        {"confirm": report(ROWS, KEPT, at_s=NOW, candidate_finding=Finding.WORSE)},
        {"confirm": None},
    ],
)
def test_a_signed_hold_or_block_releases_nothing(
    fields: dict[str, Any], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    path.write_text(sign(_decision(**fields), keys[0]))
    assert _code(ROWS, path, keys) == "not_released"


def test_an_override_loads_all_rows_and_says_so(keys: tuple[Path, Path], tmp_path: Path) -> None:
    blocked = _decision(confirm=report(ROWS, KEPT, at_s=NOW, candidate_finding=Finding.WORSE))
    path = tmp_path / "d.json"
    made = override(blocked, by="ana", requested_by="bo", reason="x", until_s=NOW + 60, now_s=NOW)
    path.write_text(sign(made, keys[0]))
    guarded = _load(ROWS, path, keys)
    assert (len(guarded), guarded.decision.overridden) == (N, True)
    assert guarded.decision.answer.value == "block"
    assert _code(ROWS, path, keys, clock=lambda: NOW + 61) == "expired"


def test_a_key_is_private_and_never_overwritten(tmp_path: Path) -> None:
    private, public = generate_keypair(tmp_path / "k" / "gate.pem")
    assert private.stat().st_mode & 0o777 == 0o600
    assert public_pem(private) == public.read_bytes()
    with pytest.raises(BadInputError, match="not overwritten"):
        generate_keypair(private)
    with pytest.raises(BadInputError):
        generate_keypair(tmp_path / "x.pub")


def test_bad_keys_are_bad_input(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("not a key")
    decision = _decision()
    for key in (junk, tmp_path / "none.pem", keys[1]):
        with pytest.raises(BadInputError):
            sign(decision, key)
    for key in (junk, tmp_path / "none.pem", keys[0]):
        with pytest.raises(BadInputError):
            verify(signed.read_text(), key, now_s=NOW)


def test_require_refuses_another_dataset(signed: Path, keys: tuple[Path, Path]) -> None:
    datasets = pytest.importorskip("datasets")
    now = [NOW]
    guarded = _load(KEPT, signed, keys, clock=lambda: now[0])
    dataset = guarded.dataset()
    guarded.require(dataset)

    def code(other: Any) -> str:
        with pytest.raises(RefusedError) as error:
            guarded.require(other)
        return error.value.code

    def lie(item: dict[str, Any]) -> dict[str, Any]:
        item["messages"][-1]["content"] = "Yes."
        return item

    assert code(datasets.Dataset.from_list([r.content() for r in KEPT])) == "other_dataset"
    assert code(dataset.select(range(5))) == "other_dataset"
    assert code(dataset.map(lie)) == "other_dataset"
    assert guarded.require(dataset.select(range(len(KEPT) - 1, -1, -1))) == len(KEPT)
    assert guarded.require(dataset.select(range(5)), least_share=0.5) == 5
    assert code([1] * len(KEPT)) == "other_dataset"
    now[0] = NOW + Policy().expiry_s
    assert code(dataset) == "expired"


def test_a_decision_about_another_assistant_is_refused(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    assert len(_load(KEPT, signed, keys, assistant=ASSISTANT)) == len(KEPT)
    assert _code(KEPT, signed, keys, assistant="other") == "other_assistant"


def test_a_list_of_revoked_decisions_is_a_path_as_text_too(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    decision_id = _load(KEPT, signed, keys).decision.decision_id
    revoked = tmp_path / "revoked.json"
    revoked.write_text(json.dumps([decision_id]))
    assert _code(KEPT, signed, keys, revoked=str(revoked)) == "revoked"
    for missing in (tmp_path / "none.json", str(tmp_path / "none.json")):
        with pytest.raises(BadInputError, match="cannot be read"):
            _load(KEPT, signed, keys, revoked=missing)


def test_a_dataset_and_records_are_loaded_as_a_file_is(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    records = [r.to_dict() for r in ROWS]
    write_rows(tmp_path / "rows.jsonl", ROWS)
    loaded = datasets.Dataset.from_json(
        str(tmp_path / "rows.jsonl"), cache_dir=str(tmp_path / "cache")
    )
    for rows in (records, datasets.Dataset.from_list(records), loaded):
        assert len(_load(rows, signed, keys)) == len(KEPT)
    assert _code(datasets.Dataset.from_list(records[:-1]), signed, keys) == "other_rows"


def test_an_override_of_a_row_that_cannot_be_read_trains_nothing(
    keys: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = [*ROWS, row_or_unreadable({"text": "x"}, "x")]
    blocked = decide(rows, context(N), Policy(), now_s=NOW)
    made = override(blocked, by="ana", requested_by="bo", reason="x", until_s=NOW + 60, now_s=NOW)
    path = tmp_path / "d.json"
    path.write_text(sign(made, keys[0]))
    with pytest.raises(BadInputError, match="row 12 cannot be trained: `text`"):
        _load(rows, path, keys)


def test_the_dataset_has_the_columns_of_every_row(keys: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    tools = [{"type": "function", "function": {"name": "stock"}}]
    rows = [
        row(0, source="curated"),
        msgspec.structs.replace(row(1, source="curated"), extra={"tools": tools}),
    ]
    path = tmp_path / "d.json"
    path.write_text(
        sign(
            decide(rows, context(2, at_s=NOW, confirm=report(rows, at_s=NOW)), CURATED, now_s=NOW),
            keys[0],
        )
    )
    guarded = _load(rows, path, keys)
    dataset = guarded.dataset()
    assert dataset[1]["tools"] == tools
    guarded.require(dataset)
    with pytest.raises(RefusedError, match="tools of row 1"):
        guarded.require(dataset.map(lambda item: {"tools": None}))


@pytest.mark.parametrize("column", ["prompt", "completion", "label", "chosen", "rejected"])
def test_every_column_of_the_rows_is_compared(
    column: str, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    kto = {"prompt": "Q", "completion": "A", "label": True}
    dpo = {"prompt": "Q", "chosen": "A", "rejected": "B"}
    data = kto if column in kto else dpo
    origin = {"source": "curated", "response_id": "r0"}
    rows = [parse_row({**data, "provenance": origin}, "x")] * 2
    path = tmp_path / "d.json"
    path.write_text(
        sign(
            decide(rows, context(2, at_s=NOW, confirm=report(rows, at_s=NOW)), CURATED, now_s=NOW),
            keys[0],
        )
    )
    guarded = _load(rows, path, keys)
    guarded.require(guarded.dataset())
    changed = {column: False if column == "label" else "changed"}
    with pytest.raises(RefusedError, match=f"{column} of row 0"):
        guarded.require(guarded.dataset().map(lambda _: changed))
    with pytest.raises(RefusedError, match="other_dataset"):
        guarded.require(
            guarded.dataset().remove_columns(column if column != "prompt" else list(data))
        )


def test_what_is_not_compared_is_waived_in_words(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="assistant"):
        load_guarded(KEPT, signed, keys[1])  # type: ignore[call-arg]
    for wrong in ({"assistant": None}, {"assistant": ""}, {"model": None}, {"revoked": None}):
        with pytest.raises(BadInputError, match=next(iter(wrong))):
            _load(KEPT, signed, keys, **wrong)
    waived = _load(KEPT, signed, keys, assistant=ANY_ASSISTANT, model=ANY_MODEL).waived
    assert waived == (ANY_ASSISTANT.words, ANY_MODEL.words, NOT_CHECKED.words)
    assert repr(NOT_CHECKED) == "<waived: the decision may have been revoked>"
    listed = tmp_path / "revoked.json"
    listed.write_text("[]")
    assert _load(KEPT, signed, keys, model="m", revoked=listed).waived == ()


def test_a_decision_about_another_base_model_is_refused(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    assert len(_load(KEPT, signed, keys, model="m")) == len(KEPT)
    assert _code(KEPT, signed, keys, model="other") == "other_model"


def test_a_decision_that_names_no_base_model_says_so(signed: Path, keys: tuple[Path, Path]) -> None:
    statement = json.loads(base64.b64decode(json.loads(signed.read_text())["payload"]))
    statement["predicate"] |= {"model": None, "model_digest": None}
    envelope = Envelope(json.dumps(statement).encode(), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(load_pem_private_key(keys[0].read_bytes(), None)))
    signed.write_text(json.dumps(envelope.to_dict()))
    waived = _load(KEPT, signed, keys, model="base").waived
    assert "the decision names no base model" in waived


def test_paths_are_paths_or_texts(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    write_rows(tmp_path / "kept.jsonl", KEPT)
    (tmp_path / "revoked.json").write_text("[]")
    for kind in (str, Path):
        guarded = load_guarded(
            kind(tmp_path / "kept.jsonl"),
            kind(signed),
            kind(keys[1]),
            assistant=ASSISTANT,
            revoked=kind(tmp_path / "revoked.json"),
            clock=lambda: NOW,
        )
        assert len(guarded) == len(KEPT)
    with pytest.raises(BadInputError, match="cannot be read"):
        _load(KEPT, tmp_path / "none.json", keys)


def test_files_nested_without_end_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    (tmp_path / STAMP).write_text(f'{{"further": {deep}}}')
    with pytest.raises(RefusedError, match="malformed"):
        attest(tmp_path, keys[1])
    report_file = tmp_path / "report.json"
    report_file.write_text(f'{{"further": {deep}}}')
    with pytest.raises(BadInputError, match="not a confirm report"):
        read_report(report_file)
    with pytest.raises(BadInputError, match="not a gate decision"):
        read_decision(deep)
    signed.write_text(deep)
    assert _code(KEPT, signed, keys) == "malformed"
