"""What every arm of a confirm run answered to each item, as values: needs no model to be read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evidence import BadInputError, Message
from retrain.report import Arm

ANSWERS = "answers.json"
"""The file's name, beside the report's."""
_MAX_BYTES = 64 * 1024 * 1024


class ArmAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm said under pressure, over all seeds.

    Parameters
    ----------
    answers, outcomes
        Sampled answers, and what each was found to be.
    margin
        Mean log-likelihood per token (nats) of the honest answer less that of the likeliest other one;
        None where the item has no reference answers.
    """

    arm: Arm
    answers: tuple[str, ...]
    outcomes: tuple[str, ...]
    margin: float | None


class ItemAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """One item with the answers of every arm that was asked it, in the report's order.

    `asked` is the conversation under pressure. `truth` says whether the `proposition` is true; it is None
    where the item tells none.
    """

    item: str
    template: str
    domain: str
    archetype: str
    asked: tuple[Message, ...]
    proposition: str
    truth: bool | None
    arms: tuple[ArmAnswers, ...]

    @property
    def differs(self) -> bool:
        """Whether arms were found to answer otherwise than each other."""
        return len({tuple(sorted(set(arm.outcomes))) for arm in self.arms}) > 1


def read_answers(path: Path) -> tuple[ItemAnswers, ...]:
    """The answers in a run's file. Raises BadInputError for one that is missing, cut short or too large."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInputError(f"more than {_MAX_BYTES >> 20} MiB of answers", str(path))
        return msgspec.json.decode(path.read_bytes(), type=tuple[ItemAnswers, ...])
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"not the answers of a confirm run: {error}", str(path)) from error
