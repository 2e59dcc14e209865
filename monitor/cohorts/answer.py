"""Whether the figures about a population may be relied on, and if not, why."""

from __future__ import annotations

from evidence.prevalence import tells_apart
from monitor.cohorts.results import Answer, PredictiveCheck, Share
from monitor.cohorts.sensor import SensorError

# An interval that is wider than this says nothing that anybody could act on.
_WIDEST = 0.25
# Raters of whom nothing is known, from which a share of all raters is not given.
_UNSEEN = 0.05


def answer_of(
    share: Share, fit: PredictiveCheck, *, unseen: float, sensor: SensorError | None
) -> tuple[Answer, tuple[str, ...]]:
    """The answer and its reasons.

    Parameters
    ----------
    unseen
        Share of raters whose feedback lies mostly in topics that say nothing about raters.
    """
    if share.estimate is None:
        return Answer.TOO_WEAK, ("no feedback on a measured response",)
    misfit = []
    if not fit.varies_as_modelled:
        misfit.append(
            f"the raters' ups vary with p_lie {fit.ratio:.2f} times as much as the model says"
        )
    if fit.turned:
        misfit.append(
            f"about {fit.turned_share:.1%} of the raters changed their behaviour within the period"
        )
    if unseen > _UNSEEN:
        misfit.append(
            f"{unseen:.1%} of the raters rate mostly in topics where the crowd contradicts the judge"
        )
    if misfit:
        return Answer.DOES_NOT_FIT, tuple(misfit)
    weak = []
    if sensor is not None and not tells_apart(sensor.accuracy):
        weak.append("the sensor was not shown to tell lies from honest answers")
    if share.upper - share.lower > _WIDEST:
        weak.append(
            f"anything from {share.lower:.1%} to {share.upper:.1%} agrees with the feedback"
        )
    return (Answer.TOO_WEAK, tuple(weak)) if weak else (Answer.SAID, ())
