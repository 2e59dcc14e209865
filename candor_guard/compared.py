"""Whether a trainer's dataset is the released rows: by columns, and by tokens and labels of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from candor_guard.errors import BadInputError, RefusedError
from candor_guard.rows import Row, RowKind
from candor_guard.rows.canonical import canonical, without_nulls
from candor_guard.rows.files import dataset_records
from candor_guard.trained import answered, conversation, possible_labels, with_prompt

_TOKENS: dict[RowKind, tuple[str, ...]] = {
    RowKind.SFT: ("input_ids",),
    RowKind.KTO: ("prompt_ids", "completion_ids", "label"),
    RowKind.DPO: ("prompt_ids", "chosen_ids", "rejected_ids"),
}
"""The columns that TRL's trainer of a kind of rows learns from."""

_COLUMNS: dict[RowKind, tuple[frozenset[str], ...]] = {
    RowKind.SFT: (frozenset({"messages"}), frozenset({"prompt", "completion"})),
    RowKind.KTO: (frozenset({"prompt", "completion", "label"}),),
    RowKind.DPO: (frozenset({"chosen", "rejected"}),),
}
"""The columns that a trainer needs which renders the rows itself, as those of images do."""

_MADE = frozenset().union(*_TOKENS.values()) - {"label"}


def as_dataset(records: Sequence[Mapping[str, Any]]) -> Any:
    """A `datasets.Dataset` of records with every column of any of them."""
    import datasets  # noqa: PLC0415 -- of the retrain extra
    import pyarrow as pa  # noqa: PLC0415

    names = dict.fromkeys(name for record in records for name in record)
    filled = [{name: record.get(name) for name in names} for record in records]
    unfit = (pa.ArrowException, OverflowError, TypeError, ValueError)
    try:
        return datasets.Dataset.from_list(filled)
    except unfit:
        # Such as tools with arguments of several types, which newer versions keep as JSON.
        try:
            return datasets.Dataset.from_list(filled, on_mixed_types="use_json")
        except unfit as error:
            reason = str(error).partition("\n")[0]
            raise BadInputError(f"the rows do not fit into one table: {reason}") from error


def require_same(
    rows: Sequence[Row], released: Any, dataset: Any, tokenizer: Any, max_length: int | None
) -> None:
    """Raise RefusedError unless `dataset` is made of `rows`, whose dataset is `released`."""
    names = frozenset(dataset.column_names)
    _require_columns(rows, names)
    made = sorted(_MADE & names)
    if made and tokenizer is None:
        raise RefusedError("other_dataset", f"the trainer shows no tokenizer of {made[0]}")
    check = _Check(tokenizer, max_length)
    ours, theirs = dataset_records(released), dataset_records(dataset)
    for index, (row, example, item) in enumerate(zip(rows, ours, theirs, strict=True)):
        wrong = check.columns(example, item) or (made and check.tokens(row, example, item))
        if wrong:
            raise RefusedError("other_dataset", f"{wrong} of row {index} is not the released one")
    check.mixed_completions()


def _require_columns(rows: Sequence[Row], names: frozenset[str]) -> None:
    for kind in {row.kind for row in rows}:
        whole = any(needed <= names for needed in _COLUMNS[kind])
        if names.isdisjoint(_MADE) and whole:
            continue
        missing = [name for name in _TOKENS[kind] if name not in names]
        if missing:
            raise RefusedError(
                "other_dataset",
                f"the trainer learns from {', '.join(sorted(names)) or 'nothing'}; "
                f"{kind.value.upper()} rows need {', '.join(missing)}",
            )


class _Check:
    """Compares one row after the other; what differs is named, "" is the same."""

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        self._completions: set[tuple[int, ...]] = set()
        self._mixed: set[tuple[int, ...]] = set()

    def columns(self, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        """The columns that both have. A trainer of texts ends them with the end-of-text token."""
        end = "" if self._tokenizer is None else self._tokenizer.eos_token or ""
        for name, ours in example.items():
            if name not in item:
                continue
            theirs = item[name]
            if isinstance(ours, str) and isinstance(theirs, str) and theirs == ours + end:
                continue
            if _form(ours) != _form(theirs):
                return name
        return ""

    def tokens(self, row: Row, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        """The token columns of the row's kind."""
        if row.kind is RowKind.SFT:
            return self._sequence(example, item)
        if row.kind is RowKind.DPO:
            made = answered(self._tokenizer, with_prompt(example), ("chosen", "rejected"))
            expected = dict(zip(_TOKENS[RowKind.DPO], (made.prompt, *made.answers), strict=True))
        else:
            made = answered(self._tokenizer, example, ("completion",))
            expected = {"prompt_ids": made.prompt, "completion_ids": made.answers[0]}
            self._completions.add(tuple(made.answers[0]))
            self._mixed.add(tuple(item.get("KL_completion_ids") or made.answers[0]))
            if bool(item["label"]) is not row.label:
                return "label"
        return next((name for name, ids in expected.items() if list(item[name]) != ids), "")

    def mixed_completions(self) -> None:
        """KTO's reference point is measured on completions of other rows of the set."""
        if not self._mixed <= self._completions:
            raise RefusedError("other_dataset", "KL_completion_ids are not completions of the rows")

    def _sequence(self, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        if example.get("messages") is not None:
            prompt, whole = 0, conversation(self._tokenizer, example)
        else:
            made = answered(self._tokenizer, example, ("completion",))
            prompt, whole = len(made.prompt), made.prompt + made.answers[0]
        found = list(item["input_ids"])
        cuts = self._cuts(len(whole), len(found))
        cut = next((cut for cut in cuts if whole[cut] == found), None)
        if cut is None:
            return "input_ids"
        labels = item.get("labels")
        if labels is None:
            return ""
        possible = possible_labels(self._tokenizer, example, whole, prompt)
        return "" if any(list(labels) == one[cut] for one in possible) else "labels"

    def _cuts(self, whole: int, found: int) -> tuple[slice, ...]:
        """Where a row may have been cut: nowhere, or at its end or beginning to the longest length."""
        if found == whole:
            return (slice(None),)
        if not 0 < found < whole or self._max_length not in {None, found}:
            return ()
        return slice(None, found), slice(whole - found, None)


def _form(value: Any) -> bytes:
    return canonical({"": without_nulls(value, "")}, verbatim=frozenset({""}))
