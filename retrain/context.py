"""What the gate is told: verdicts, raters, alarms, evaluators and the confirm run, as plain values."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evidence import AlarmState, AlarmSubject, BadInputError, VerdictKind
from retrain.report import ConfirmReport


class VerdictEvidence(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The live verdict of one response; `contradicted` is whether its tool record contradicts what it says of acts."""

    kind: VerdictKind
    p_lie: float | None = None
    contradicted: bool = False


class StoredResponse(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the store holds of one response, without its text.

    `said` is `evidence.words_digest` of the conversation with its answer; None where the text was erased or
    is past its retention. `asked` and `answered` are those of its two parts, where a rater edited the
    answer. `model` is the version that answered.
    """

    model: str
    said: bytes | None = None
    asked: bytes | None = None
    answered: bytes | None = None


class StoredFeedback(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the store holds of one signal that has its response; `edit` is the `evidence.words_digest` of
    the answer that the rater wrote instead."""

    response_id: str
    rater: str
    value: float
    created_at_s: float
    edit: bytes | None = None


class RaterEvidence(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the mixture model says of one rater; `group` names a coordination group."""

    status: str
    p_biased: float | None = None
    group: str | None = None


class AlarmEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alarm that concerns the assistant, in whatever state."""

    alarm_id: str
    subject: AlarmSubject
    scope: str
    metric: str
    state: AlarmState

    @property
    def holds(self) -> bool:
        """Only closing releases: a confirmed or refuted alarm still holds until it is closed."""
        return self.state is not AlarmState.CLOSED


class EvaluatorHealth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the verdicts of an evaluator may be relied on, and mean what they say: `calibrated` is
    whether its fusion was fitted to its probes."""

    evaluator: str
    healthy: bool
    reason: str = ""
    calibrated: bool = True


class Period(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time span in which responses came in but were not measured, seconds since the epoch."""

    from_s: float
    to_s: float
    reason: str = ""


class Coverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was covered by measurement when the evidence was read.

    Parameters
    ----------
    from_s, to_s
        The period looked at, seconds since the epoch. It ends with the last word of a worker.
    workers
        Workers that spoke within their time.
    lag_records
        Records of the input topics that these workers had not written; None where one did not say.
    responses, verdicts
        Sampled responses of the assistant in the period, and those of them with a verdict.
    dead_letters
        Records that ended as dead letters in the period, of whichever assistant.
    """

    from_s: float
    to_s: float
    workers: int
    lag_records: int | None
    responses: int
    verdicts: int
    dead_letters: int


class GateContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All evidence for one decision.

    Parameters
    ----------
    assistant
        The assistant that the rows would train.
    verdicts
        By response id; of an answer that a rater wrote instead, by `retrain.stored.edit_name`. What is
        not here is unmeasured.
    responses, feedback
        What the store holds of the responses and signals that rows name, by their ids: what their
        provenance is compared with. A row about one that is not here is not verified.
    sources
        By `name@version`, of the registered sources that rows name: the sorted digests of their rows
        (`retrain.sources`).
    raters
        By rater pseudonym. A rater who is not here is unknown, which is no suspicion.
    raters_answer
        Whether what is said of the raters may be relied on: `ok`, or `too weak to say` or `does not fit`
        with the reasons; empty without an estimate.
    alarms, uncovered
        All alarms of the assistant that are not closed, and the periods without measurement.
    evaluators
        Health of every evaluator that made a verdict; empty means unknown, which holds.
    probe_traffic
        Response ids of canaries, repeats and red-team traffic: never training rows.
    forgotten
        Raters whose data was erased.
    influence
        Estimated pull of single rows towards lying, by response id, where it was computed apart
        from the confirm run, whose report brings its own.
    store_reachable, schema_current
        False when the evidence could not be read, or comes from a store of another version's schema;
        the other fields are then not to be trusted.
    confirm
        The report of the newest confirm run, if one finished.
    confirm_fault
        Why that report is not believed; None for one of the store, or one that the signing key vouches for.
    coverage
        How far the newest traffic was measured; None is not known, which holds.
    made_at_s
        When this was read, seconds since the epoch; None is not known, which holds.
    unattested
        Model versions that answer without an attestation of their weights.
    newest_s
        The newest time that the store knows of: a clock that is behind it is wrong.
    """

    assistant: str
    verdicts: dict[str, VerdictEvidence] = {}
    responses: dict[str, StoredResponse] = {}
    feedback: dict[str, StoredFeedback] = {}
    sources: dict[str, bytes] = {}
    raters: dict[str, RaterEvidence] = {}
    raters_answer: str = ""
    alarms: tuple[AlarmEvidence, ...] = ()
    evaluators: tuple[EvaluatorHealth, ...] = ()
    uncovered: tuple[Period, ...] = ()
    probe_traffic: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    influence: dict[str, float] = {}
    store_reachable: bool = True
    schema_current: bool = True
    confirm: ConfirmReport | None = None
    confirm_fault: str | None = None
    coverage: Coverage | None = None
    unattested: tuple[str, ...] = ()
    made_at_s: float | None = None
    newest_s: float | None = None

    @property
    def influences(self) -> dict[str, float]:
        """The influence of rows, by response id: the confirm run's, and over it what was given apart."""
        report = self.confirm
        of_run = {} if report is None or report.assistant != self.assistant else report.influence
        return {**of_run, **self.influence}


def read_context(path: Path | str) -> GateContext:
    """A context from a JSON file with the fields of `GateContext`. Raises BadInputError."""
    path = Path(path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateContext)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"not gate evidence: {error}", str(path)) from error
