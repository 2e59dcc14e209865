"""The guard of a training job: no dataset without a valid decision, no step 0 on another dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from candor_guard.compared import Rendering, as_dataset, require_readable, require_same
from candor_guard.decision import VerifiedDecision, verify
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.rows import Row, RowKind, Rows, kept_rows, manifest, read_rows
from candor_guard.trained import IGNORED, learnt, prompt_of
from candor_guard.waived import ANY_MODEL, Waived

_MARK = "candor-rows:"
_PLAIN = Rendering()


class GuardedRows(Sequence[Row]):
    """Rows that a verified decision releases.

    `fingerprint` is the signed manifest digest, `envelope` the decision as it was signed, `waived`
    the checks that were left out, in words.
    """

    def __init__(self, rows: list[Row], check: _Check):
        self._rows = rows
        self._check = check
        self.decision = check()
        self.envelope = check.envelope
        self.waived = check.waived(self.decision)

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
        return self._marked([row.content() for row in self._rows])

    def prompts(self) -> Any:
        """The rows' prompts alone, marked alike, for a trainer whose model answers itself (GRPO)."""
        return self._marked([{"prompt": prompt_of(row.content())} for row in self._rows])

    def tokens(self, tokenizer: Any, *, max_length: int | None = None) -> Any:
        """SFT rows as `input_ids`, `attention_mask` and `labels`, marked alike, for a trainer that renders nothing
        itself (Axolotl, LLaMA-Factory): TRL's tokens and labels, which the confirm run trained.

        Raises BadInputError for rows of another kind, and for one without a token to learn in `max_length`.
        """
        records = []
        for index, row in enumerate(self._rows):
            if row.kind is not RowKind.SFT:
                raise BadInputError(f"row {index} is {row.kind.value}; this takes SFT rows alone")
            made = learnt(tokenizer, row.content(), max_length)
            if all(label == IGNORED for label in made["labels"]):
                raise BadInputError(f"row {index} has nothing to learn within max_length")
            records.append({**made, "attention_mask": [1] * len(made["input_ids"])})
        return self._marked(records)

    def recheck(self) -> None:
        """Raise RefusedError unless the decision is valid now: signed, not expired, not revoked."""
        self._check()

    @property
    def checked_at_s(self) -> float:
        """When the decision was last found valid; seconds since the epoch."""
        return self._check.passed_at_s

    def require(
        self, dataset: Any, rendering: Rendering = _PLAIN, *, least_share: float = 1.0
    ) -> int:
        """Raise RefusedError unless `dataset` is these rows and the decision is valid now.

        A `datasets.Dataset` must carry the fingerprint, and each of its examples must be made of a
        released row of its own, in any order: columns of the rows that are still there are
        compared, and the tokens and labels that a trainer made of them, for rows of every kind.
        `least_share` of the released rows must be there. Returns how many are.
        """
        self.recheck()
        require_readable(dataset)
        description = getattr(getattr(dataset, "info", None), "description", None)
        if description != _MARK + self.fingerprint:
            raise RefusedError("other_dataset", "the trainer's dataset is not the released one")
        found = require_same(self._rows, self.dataset(), dataset, rendering)
        if found < least_share * len(self._rows):
            raise RefusedError(
                "other_dataset",
                f"the trainer's dataset has {found} of the {len(self._rows)} released rows; what was "
                "tried is all of them (`least_share` lets a part be held out)",
            )
        return found

    def _marked(self, records: list[dict[str, Any]]) -> Any:
        built = as_dataset(records)
        built.info.description = _MARK + self.fingerprint
        return built


class _Check:
    """What is asked of the decision, before anything is read and again while it is trained."""

    def __init__(
        self,
        envelope: bytes,
        key: Path | str | bytes,
        *,
        assistant: str | Waived,
        model: str | Waived,
        revoked: Collection[str] | Path | str | Waived,
        clock: Callable[[], float],
        where: str,
    ) -> None:
        self.envelope, self._key, self._where = envelope, key, where
        self._assistant, self._model, self._revoked = assistant, model, revoked
        self._clock = clock
        self.passed_at_s = 0.0

    def __call__(self) -> VerifiedDecision:
        revoked = () if isinstance(self._revoked, Waived) else revoked_ids(self._revoked)
        now_s = self._clock()
        found = verify(self.envelope, self._key, now_s=now_s, revoked=revoked, where=self._where)
        if isinstance(self._assistant, str) and found.assistant != self._assistant:
            raise RefusedError(
                "other_assistant",
                f"the decision is about the assistant {found.assistant!r}",
                self._where,
            )
        if isinstance(self._model, str) and found.models and self._model not in found.models:
            raise RefusedError(
                "other_model", f"the decision is about the model {found.models[0]!r}", self._where
            )
        self.passed_at_s = now_s
        return found

    def waived(self, decision: VerifiedDecision) -> tuple[str, ...]:
        asked = (self._assistant, self._model, self._revoked)
        words = [one.words for one in asked if isinstance(one, Waived)]
        if isinstance(self._model, str) and not decision.models:
            words.append("the decision names no base model")
        return tuple(words)


def load_guarded(
    rows: Rows,
    decision: Path | str,
    key: Path | str | bytes,
    *,
    assistant: str | Waived,
    revoked: Collection[str] | Path | str | Waived,
    model: str | Waived = ANY_MODEL,
    clock: Callable[[], float] = time.time,
) -> GuardedRows:
    """The rows that `decision` releases, or RefusedError.

    Parameters
    ----------
    rows
        File (JSONL, Parquet, packed or not), folder of shards or of `save_to_disk`,
        `datasets.Dataset` or rows: those released, or all rows that the gate was asked about, from
        which the quarantined ones are then taken out.
    decision
        File with the signed envelope.
    key
        The gate's public key (PEM file or bytes).
    assistant
        The assistant that is trained; a decision about another one is refused. `ANY_ASSISTANT` waives it.
    revoked
        Revoked decision ids, or a file (path, also as text) with a JSON list of them, read again
        before step 0, while training and at its end. `NOT_CHECKED` waives it.
    model
        Name or digest of the base model, compared where the decision names one. `ANY_MODEL` waives it.
    """
    _named(assistant, "assistant", "ANY_ASSISTANT")
    _named(model, "model", "ANY_MODEL")
    _listed(revoked)
    where = str(decision)
    try:
        envelope = Path(decision).read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", where) from error
    check = _Check(
        envelope,
        key,
        assistant=assistant,
        model=model,
        revoked=revoked,
        clock=clock,
        where=where,
    )
    verified = check()  # before rows are read that nothing releases
    return GuardedRows(_released(read_rows(rows, keep_unreadable=True), verified, where), check)


def _named(given: object, argument: str, waiver: str) -> None:
    if not isinstance(given, Waived) and (not isinstance(given, str) or not given):
        raise BadInputError(f"name it, or give {waiver}", argument)


def _listed(given: object) -> None:
    if not isinstance(given, Waived | Path | str | Collection):
        raise BadInputError("give the revoked decisions, or NOT_CHECKED", "revoked")


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


def revoked_ids(revoked: Collection[str] | Path | str) -> Collection[str]:
    """The ids themselves, or those of a file with a JSON list. Raises BadInputError."""
    if not isinstance(revoked, Path | str):
        return revoked
    try:
        ids = json.loads(Path(revoked).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError("the list of revoked decisions cannot be read", str(revoked)) from error
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise BadInputError("the list of revoked decisions is a JSON list of ids", str(revoked))
    return frozenset(ids)
