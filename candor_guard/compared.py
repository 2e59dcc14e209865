"""Whether a trainer's dataset is the released rows: by columns, and by tokens and labels of the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from candor_guard.errors import BadInputError, RefusedError
from candor_guard.pool import Pool
from candor_guard.rows import Row, RowKind
from candor_guard.rows.canonical import canonical, without_nulls
from candor_guard.rows.files import dataset_records
from candor_guard.trained import answered, possible_labels, prompt_of, sequence, with_prompt

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
_SEGMENTS = "seq_lengths"


class Rendering(NamedTuple):
    """What of a trainer's settings changes its examples.

    Parameters
    ----------
    tokenizer
        Renders the rows; None where the trainer shows none.
    max_length
        What rows are cut to; without it a row may be cut anywhere.
    packing
        How several rows are put into one example: "" not at all, else TRL's strategy.
    prompts_only
        Whether the answers are the model's own, as with GRPO.
    """

    tokenizer: Any = None
    max_length: int | None = None
    packing: str = ""
    prompts_only: bool = False


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


def require_same(rows: Sequence[Row], released: Any, dataset: Any, rendering: Rendering) -> int:
    """Raise RefusedError unless each example of `dataset` is made of a row of its own.

    `released` is the rows' dataset. Returns the number of rows that were found: examples may stand in
    another order, and packed ones hold several rows.
    """
    names = frozenset(dataset.column_names)
    _require_whole(names, rendering)
    _require_columns(rows, names, rendering.prompts_only)
    made = sorted(_MADE & names)
    if made and rendering.tokenizer is None:
        raise RefusedError("other_dataset", f"the trainer shows no tokenizer of {made[0]}")
    check = _Check(rows, list(dataset_records(released)), rendering, tokenized=bool(made))
    pool = Pool(len(rows), check)
    for item in _examples(dataset, names):
        pool.take(item)
    check.mixed_completions()
    return pool.taken


def require_readable(dataset: Any) -> None:
    """Raise RefusedError for a dataset of which nobody can tell what a trainer will get."""
    if not hasattr(dataset, "__len__"):
        raise RefusedError(
            "other_dataset", "a streamed dataset may hold other rows when it is read again"
        )
    if getattr(dataset, "format", {}).get("type") == "custom":
        raise RefusedError("other_dataset", "the dataset's transform makes what is trained")


def _require_whole(names: frozenset[str], rendering: Rendering) -> None:
    if rendering.packing and _SEGMENTS not in names:
        raise RefusedError(
            "other_dataset",
            f"packing by {rendering.packing!r} leaves no row whole; `packing_strategy='bfd'` does",
        )


def _require_columns(rows: Sequence[Row], names: frozenset[str], prompts_only: bool) -> None:
    if prompts_only:
        if "prompt" not in names or not names.isdisjoint(_MADE):
            raise RefusedError("other_dataset", "the trainer's dataset has no column `prompt`")
        return
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


def _examples(dataset: Any, names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """One for each row: what was packed is taken apart at the lengths that attention is bound to."""
    for item in dataset_records(dataset):
        if _SEGMENTS not in names:
            yield item
            continue
        ids, labels = item["input_ids"], item.get("labels")
        if sum(item[_SEGMENTS]) != len(ids):
            raise RefusedError("other_dataset", "packed rows have other lengths than they say")
        at = 0
        for length in item[_SEGMENTS]:
            part = slice(at, at + length)
            yield {"input_ids": ids[part], "labels": None if labels is None else labels[part]}
            at += length


class _Check:
    """Compares a released row with an example; what differs is named, "" is the same."""

    def __init__(
        self, rows: Sequence[Row], examples: Sequence[Mapping[str, Any]], rendering: Rendering, *, tokenized: bool
    ) -> None:  # fmt: skip
        self._rows, self._examples = rows, examples
        self._how, self._tokenizer = rendering, rendering.tokenizer
        self._tokenized = tokenized
        self._completions: set[tuple[int, ...]] = set()
        self._mixed: set[tuple[int, ...]] = set()

    def differs(self, index: int, item: Mapping[str, Any]) -> str:
        example = self._examples[index]
        if self._how.prompts_only:
            example = {**example, "prompt": prompt_of(example)}
        wrong = self._columns(example, item)
        if wrong or not self._tokenized:
            return wrong
        return self._tokens(self._rows[index], example, item)

    def found(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        """What an example is looked up by: its tokens, else its prompt or its columns."""
        if not self._tokenized:
            return self._column_key(item)
        names = _TOKENS[self._kind_of(item)]
        return tuple(tuple(item[name]) for name in names if name != "label")

    def sought(self, index: int, length: int | None = None) -> Iterator[tuple[Any, ...]]:
        """What the row may be looked up by; with `length`, cut to so many tokens."""
        example = self._examples[index]
        if not self._tokenized:
            made = {**example, "prompt": prompt_of(example)} if self._how.prompts_only else example
            yield self._column_key(made)
            return
        ids = self._rendered(self._rows[index], example)
        if length is None:
            yield tuple(tuple(one) for one in ids)
        elif len(ids) == 1 and len(ids[0]) > length:
            yield (tuple(ids[0][:length]),)
            yield (tuple(ids[0][-length:]),)

    def cut_length(self, item: Mapping[str, Any]) -> int | None:
        """The tokens of an example of which a row may have been cut to so many."""
        if not self._tokenized or self._kind_of(item) is not RowKind.SFT:
            return None
        length = len(item["input_ids"])
        return length if self._how.max_length in {None, length} else None

    def mixed_completions(self) -> None:
        """KTO's reference point is measured on completions of other rows of the set."""
        if not self._mixed <= self._completions:
            raise RefusedError("other_dataset", "KL_completion_ids are not completions of the rows")

    def _kind_of(self, item: Mapping[str, Any]) -> RowKind:
        return next(kind for kind, names in _TOKENS.items() if all(name in item for name in names))

    def _column_key(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        names = (
            ("prompt",)
            if self._how.prompts_only
            else ("prompt", "completion", "messages", "chosen")
        )
        return tuple(
            _form(self._unended(item[name])) for name in names if item.get(name) is not None
        )

    def _unended(self, value: Any) -> Any:
        end = "" if self._tokenizer is None else self._tokenizer.eos_token or ""
        return value.removesuffix(end) if isinstance(value, str) else value

    def _rendered(self, row: Row, example: Mapping[str, Any]) -> tuple[list[int], ...]:
        if row.kind is RowKind.SFT:
            return (sequence(self._tokenizer, example)[1],)
        if row.kind is RowKind.DPO:
            made = answered(self._tokenizer, with_prompt(example), ("chosen", "rejected"))
        else:
            made = answered(self._tokenizer, example, ("completion",))
        return (made.prompt, *made.answers)

    def _columns(self, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        """The columns that both have. A trainer of texts ends them with the end-of-text token."""
        for name, ours in example.items():
            if name in item and _form(ours) not in {
                _form(item[name]),
                _form(self._unended(item[name])),
            }:
                return name
        return ""

    def _tokens(self, row: Row, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        """The token columns of the row's kind."""
        if row.kind is RowKind.SFT:
            return self._sequence(example, item)
        names = [name for name in _TOKENS[row.kind] if name != "label"]
        expected = self._rendered(row, example)
        wrong = next(
            (n for n, ids in zip(names, expected, strict=True) if list(item[n]) != ids), ""
        )
        if wrong or row.kind is RowKind.DPO:
            return wrong
        if bool(item["label"]) is not row.label:
            return "label"
        self._completions.add(tuple(expected[1]))
        self._mixed.add(tuple(item.get("KL_completion_ids") or expected[1]))
        return ""

    def _sequence(self, example: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        prompt, whole = sequence(self._tokenizer, example)
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
        if not 0 < found < whole or self._how.max_length not in {None, found}:
            return ()
        return slice(None, found), slice(whole - found, None)


def _form(value: Any) -> bytes:
    return canonical({"": without_nulls(value, "")}, verbatim=frozenset({""}))
