"""The guard of a training job: no dataset without a valid decision, no step 0 on another dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from candor_guard.compared import as_dataset, require_same
from candor_guard.decision import VerifiedDecision, verify
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.rows import Row, Rows, kept_rows, manifest, read_rows

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
        """A `datasets.Dataset` in TRL's format, marked with the fingerprint (`datasets` needed).

        Raises BadInputError where the rows do not fit into one table.
        """
        built = as_dataset([row.content() for row in self._rows])
        built.info.description = _MARK + self.fingerprint
        return built

    def require(
        self, dataset: Any, tokenizer: Any = None, *, max_length: int | None = None
    ) -> None:
        """Raise RefusedError unless `dataset` is these rows and the decision is valid now.

        A `datasets.Dataset` must carry the fingerprint and the number of rows. Columns of the rows
        that are still there are compared, and with `tokenizer` the tokens and labels that a trainer
        made of them, for rows of every kind. `max_length` is what the trainer cuts rows to; without
        it a row may be cut anywhere.
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
        require_same(self._rows, self.dataset(), dataset, tokenizer, max_length)


def load_guarded(
    rows: Rows,
    decision: Path | str,
    *,
    key: Path | str | bytes,
    assistant: str | None = None,
    revoked: Collection[str] | Path | str = (),
    clock: Callable[[], float] = time.time,
) -> GuardedRows:
    """The rows that `decision` releases, or RefusedError.

    Parameters
    ----------
    rows
        File (JSONL, Parquet), `datasets.Dataset` or rows: those released, or all rows that the gate
        was asked about, from which the quarantined ones are then taken out.
    decision
        File with the signed envelope.
    key
        The gate's public key (PEM file or bytes).
    assistant
        The assistant that is trained; a decision about another one is refused. None compares nothing.
    revoked
        Revoked decision ids, or a file (path, also as text) with a JSON list of them, read again
        before step 0.
    """
    where = str(decision)
    try:
        envelope = Path(decision).read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", where) from error

    def check() -> VerifiedDecision:
        found = verify(envelope, key, now_s=clock(), revoked=_revoked_ids(revoked), where=where)
        if assistant is not None and found.assistant != assistant:
            raise RefusedError(
                "other_assistant", f"the decision is about the assistant {found.assistant!r}", where
            )
        return found

    verified = check()
    given = read_rows(rows, keep_unreadable=True)
    return GuardedRows(_released(given, verified, where), verified, lambda: (check(), None)[1])


def _released(rows: list[Row], decision: VerifiedDecision, where: str) -> list[Row]:
    if manifest(rows).digest != decision.subject_digest:
        if len(rows) == decision.all_rows:
            try:
                rows = list(kept_rows(rows, decision.removed_bitmap))
            except BadInputError as error:
                raise RefusedError("malformed", error.what, where) from error
        if manifest(rows).digest != decision.subject_digest:
            raise RefusedError(
                "other_rows", "the rows are not those that the decision is about", where
            )
    broken = next((index for index, row in enumerate(rows) if row.unreadable), None)
    if broken is not None:  # under an override, which releases all rows
        raise BadInputError(f"row {broken} cannot be trained: {rows[broken].unreadable}", where)
    return rows


def _revoked_ids(revoked: Collection[str] | Path | str) -> Collection[str]:
    if not isinstance(revoked, Path | str):
        return revoked
    try:
        ids = json.loads(Path(revoked).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError("the list of revoked decisions cannot be read", str(revoked)) from error
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise BadInputError("the list of revoked decisions is a JSON list of ids", str(revoked))
    return frozenset(ids)
