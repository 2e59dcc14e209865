"""The guard of a training job: no dataset without a valid decision, no step 0 on another dataset."""

from __future__ import annotations

import base64
import binascii
import json
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from evidence import BadInputError
from retrain.rows import Row, RowKind, manifest, read_rows
from retrain.signing import RefusedError, VerifiedDecision, verify

_MARK = "candor-rows:"


class GuardedRows(Sequence[Row]):
    """Rows that a verified decision releases. `fingerprint` is the signed manifest digest."""

    def __init__(self, rows: list[Row], decision: VerifiedDecision, check: Callable[[], None]):
        self._rows = rows
        self._check = check
        self.decision = decision

    @property
    def fingerprint(self) -> str:
        return self.decision.subject_digest

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def dataset(self) -> Any:
        """A `datasets.Dataset` in TRL's format, marked with the fingerprint (`datasets` needed)."""
        import datasets  # noqa: PLC0415 -- of the retrain extra

        built = datasets.Dataset.from_list([row.content() for row in self._rows])
        built.info.description = _MARK + self.fingerprint
        return built

    def require(self, dataset: Any, tokenizer: Any = None) -> None:
        """Raise RefusedError unless `dataset` is these rows and the decision is valid now.

        A `datasets.Dataset` must carry the fingerprint and the number of rows. Where its rows still
        have their columns they are compared; where SFT rows are tokenized and `tokenizer` is given,
        their tokens are compared with the rows' chat.
        """
        self._check()
        description = getattr(getattr(dataset, "info", None), "description", None)
        if description != _MARK + self.fingerprint:
            raise RefusedError("other_dataset", "the trainer's dataset is not the released one")
        if len(dataset) != len(self._rows):
            raise RefusedError(
                "other_dataset",
                f"the trainer's dataset has {len(dataset)} rows, the decision {len(self._rows)}",
            )
        self._compare_columns(dataset)
        if tokenizer is not None and "input_ids" in dataset.column_names:
            self._compare_tokens(dataset, tokenizer)

    def _compare_columns(self, dataset: Any) -> None:
        """Conversations that are still there, before a trainer rendered them as text or tokens."""
        names = [n for n in ("messages", "prompt", "completion") if n in dataset.column_names]
        if not names:
            return
        for index, (row, item) in enumerate(zip(self._rows, dataset, strict=True)):
            content = row.content()
            for name in names:
                ours, theirs = content.get(name), item[name]
                if not (isinstance(theirs, list) and isinstance(ours, list | tuple)):
                    continue
                if list(ours) != theirs:
                    raise RefusedError("other_dataset", f"row {index} was changed after release")

    def _compare_tokens(self, dataset: Any, tokenizer: Any) -> None:
        for index, (row, item) in enumerate(zip(self._rows, dataset, strict=True)):
            if row.kind is not RowKind.SFT or row.messages is None:
                return
            chat = [{"role": m.role, "content": m.content} for m in row.messages]
            text = tokenizer.apply_chat_template(chat, tokenize=False)
            expected = tokenizer(text, add_special_tokens=False)["input_ids"]
            found = list(item["input_ids"])
            if not found or expected[: len(found)] != found:
                raise RefusedError("other_dataset", f"row {index} was changed after release")


def load_guarded(
    rows: Path | str | Sequence[Row],
    decision: Path | str,
    *,
    key: Path | str | bytes,
    revoked: Collection[str] | Path = (),
    clock: Callable[[], float] = time.time,
) -> GuardedRows:
    """The rows that `decision` releases, or RefusedError.

    Parameters
    ----------
    rows
        File (JSONL, Parquet) or rows: those released, or all rows that the gate was asked about,
        from which the quarantined ones are then taken out.
    decision
        File with the signed envelope.
    key
        The gate's public key (PEM file or bytes).
    revoked
        Revoked decision ids, or a file with a JSON list of them, read again before step 0.
    """
    where = str(decision)
    try:
        envelope = Path(decision).read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", where) from error

    def check() -> VerifiedDecision:
        return verify(envelope, key, now_s=clock(), revoked=_revoked_ids(revoked), where=where)

    verified = check()
    given = read_rows(rows) if isinstance(rows, str | Path) else list(rows)
    return GuardedRows(_released(given, verified, where), verified, lambda: (check(), None)[1])


def _released(rows: list[Row], decision: VerifiedDecision, where: str) -> list[Row]:
    if manifest(rows).digest == decision.subject_digest:
        return rows
    if len(rows) == decision.all_rows:
        removed = _bits(decision.removed_bitmap, where)
        kept = [row for i, row in enumerate(rows) if not removed[i // 8] >> (i % 8) & 1]
        if manifest(kept).digest == decision.subject_digest:
            return kept
    raise RefusedError("other_rows", "the rows are not those that the decision is about", where)


def _bits(bitmap: str, where: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(bitmap, validate=True))
    except (binascii.Error, zlib.error) as error:
        raise RefusedError("malformed", "the list of removed rows cannot be read", where) from error


def _revoked_ids(revoked: Collection[str] | Path) -> Collection[str]:
    if not isinstance(revoked, Path):
        return revoked
    try:
        ids = json.loads(revoked.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInputError("the list of revoked decisions cannot be read", str(revoked)) from error
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise BadInputError("the list of revoked decisions is a JSON list of ids", str(revoked))
    return frozenset(ids)
