"""One digest for the same rows as JSONL, Parquet (by pyarrow and `datasets`) and a `datasets.Dataset`."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candor_guard.rows import manifest, parse_row, read_rows, write_rows
from candor_guard.rows.canonical import canonical, instant
from evidence import BadInputError

datasets.disable_progress_bars()


def chat(text: str = "A", **columns: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]
    return {"messages": messages, "provenance": {"source": "s"}, **columns}


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
number = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(width=64, allow_infinity=False, allow_nan=False)
)
leaves = st.fixed_dictionaries({}, optional={"t": words, "n": number, "ok": st.booleans()})
nested = st.fixed_dictionaries(
    {"always": words},
    optional={"leaf": leaves, "list": st.lists(leaves, max_size=3), "none": st.none()},
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "name": words,
        "thinking": words,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": words,
                    "function": st.fixed_dictionaries({"name": words, "arguments": nested}),
                }
            ),
            min_size=1,
            max_size=2,
        ),
    },
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    first = {"role": "user", "content": draw(words), **draw(fields)}
    last = {"role": "assistant", "content": draw(words), **draw(fields)}
    columns = draw(
        st.fixed_dictionaries(
            {"meta": nested}, optional={"score": number, "tags": st.lists(words, max_size=2)}
        )
    )
    provenance = draw(
        st.fixed_dictionaries(
            {}, optional={"source": words, "collected_at": st.just("2026-11-01T00:00:00Z")}
        )
    )
    return {"messages": [first, last], **columns, "provenance": provenance}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(records(), min_size=1, max_size=4))
def test_every_way_to_keep_the_rows_has_one_digest(
    tmp_path: Path, data: list[dict[str, Any]]
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(item) + "\n" for item in data))
    wanted = manifest(tmp_path / "rows.jsonl").digest
    rows = read_rows(tmp_path / "rows.jsonl")
    assert manifest(rows).digest == wanted
    write_rows(tmp_path / "again.jsonl", rows)
    assert manifest(tmp_path / "again.jsonl").digest == wanted
    with contextlib.suppress(BadInputError):  # of values that Parquet cannot hold, see below
        write_rows(tmp_path / "ours.parquet", rows)
        assert manifest(tmp_path / "ours.parquet").digest == wanted
    try:
        table = pa.Table.from_pylist(data)
        pq.write_table(table, tmp_path / "arrow.parquet")
        dataset = datasets.Dataset.from_list(data)
        dataset.to_parquet(str(tmp_path / "hf.parquet"))
    except (pa.ArrowException, OverflowError):
        return  # such as an object without keys
    if any(item.keys() != data[0].keys() for item in data):
        return  # both take the columns of the first record and drop the others
    assert manifest(tmp_path / "arrow.parquet").digest == wanted
    assert manifest(dataset).digest == wanted
    assert manifest(tmp_path / "hf.parquet").digest == wanted


@pytest.mark.parametrize(
    "data",
    [
        [chat(meta={"a": 1}), chat(meta={"b": "x"})],
        [chat(tags=[{"k": "a"}]), chat(tags=[{"k": "b", "w": 1}])],
        [chat(score=1), chat(score=0.5)],
        [chat(at="2026-11-01T00:00:00Z"), chat(at="2026-11-02T10:00:00Z")],
        [chat(on="2026-11-01")],
        [chat(meta={}), chat(meta={"k": 1})],
        [chat(tags=[]), chat(tags=["x"])],
        [chat(x=2**63), chat(x=1)],
        [chat(x=float("nan")), chat(x=1.5)],
    ],
)
def test_what_load_dataset_makes_of_a_file_is_the_same_rows(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Its JSON reader makes timestamps of texts, floats of integers and JSON text of unequal objects."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in data).replace("NaN", "null"))
    wanted = manifest(path).digest
    loaded = datasets.Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))
    assert manifest(loaded).digest == wanted
    loaded.to_parquet(str(tmp_path / "rows.parquet"))
    assert manifest(tmp_path / "rows.parquet").digest == wanted


def test_values_that_only_parquet_has_keep_their_digest_as_json(tmp_path: Path) -> None:
    data = chat(
        at=dt.datetime(2026, 11, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        on=dt.date(2026, 11, 1),
        took=dt.timedelta(seconds=3),
        blob=b"\x89PNG",
        nan=float("nan"),
    )
    table = pa.Table.from_pylist([data])
    named = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(table.append_column("map", named), tmp_path / "rows.parquet")
    wanted = manifest(tmp_path / "rows.parquet").digest
    rows = read_rows(tmp_path / "rows.parquet")
    assert rows[0].extra["map"] == {"k": 1}
    write_rows(tmp_path / "rows.jsonl", rows)
    assert manifest(tmp_path / "rows.jsonl").digest == wanted


@pytest.mark.parametrize(
    ("data", "format_"),
    [
        ([chat(x=1), chat(x="one")], "parquet"),
        ([chat(meta={})], "parquet"),
        ([chat(x=2**70)], "parquet"),
        ([chat(x=2**53 + 1), chat(x=0.5)], "parquet"),
        ([chat(x=object())], "jsonl"),
    ],
)
def test_what_a_format_cannot_hold_is_one_line(
    data: list[dict[str, Any]], format_: str, tmp_path: Path
) -> None:
    path = tmp_path / f"rows.{format_}"
    with pytest.raises(BadInputError) as error:
        write_rows(path, [parse_row(item, "x") for item in data])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_integers_that_only_json_holds_are_written_as_they_are(tmp_path: Path) -> None:
    rows = [parse_row(chat(x=2**70), "x")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl")[0].extra["x"] == 2**70


def test_only_the_same_values_are_the_same() -> None:
    values: list[Any] = [
        True,
        1,
        2,
        1.5,
        "1",
        "true",
        [],
        [1],
        {},
        {"a": 1},
        [None, 1],
        "2026-11-01",
    ]
    forms = {canonical({"x": value}) for value in values} | {canonical({})}
    assert len(forms) == len(values) + 1
    assert canonical({"x": "2026-11-01"}, verbatim=frozenset({"x"})) != canonical(
        {"x": "2026-11-01T00:00:00"}, verbatim=frozenset({"x"})
    ), "what is trained is compared as it is written"


@settings(max_examples=500)
@given(st.datetimes(timezones=st.just(dt.UTC)), st.sampled_from("T "), st.booleans())
def test_a_time_in_utc_is_read_the_short_way_as_any_other(
    at: dt.datetime, between: str, whole_seconds: bool
) -> None:
    at = at.replace(microsecond=0) if whole_seconds else at
    text = at.isoformat(between)
    elsewhere = text.replace("+00:00", "+0000")
    assert instant(text) == instant(elsewhere) == at.replace(tzinfo=None).isoformat()


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("2026-01-01T00:00:00.000000+00:00", "2026-01-01T00:00:00"),
        ("2026-01-01T00:00:00.120000+00:00", "2026-01-01T00:00:00.120000"),
        ("2026-01-01T00:00:00.5+00:00", "2026-01-01T00:00:00.500000"),
    ],
)
def test_fractions_of_a_second_have_one_form(text: str, made: str) -> None:
    assert instant(text) == made


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01T00:00:00+00:00",
        "2026-01-01T00:00:60+00:00",
        "0000-01-01T00:00:00+00:00",
        "2026-W01-1T00:00:00+00:00",
        "٢٠٢٦-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00+00:00 ",
    ],
)
def test_what_only_looks_like_a_time_stays_as_it_is(text: str) -> None:
    assert instant(text) == text
