"""Scores of how biased each rater is, by estimators that Candor is compared with.

The oracle is told every behaviour, share and judge error. Dawid–Skene, MACE and GLAD come from crowd-kit
(dependency group `bench`) and see what Candor sees: each rater's thumbs, with the judge's call on each
response as one more worker.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from monitor.cohorts.events import EventTable
from monitor.cohorts.plane import level_of, log_rates
from monitor.cohorts.simulate import Behaviour
from monitor.cohorts.truth import Items, Judge, cavity, crowd, event_messages, own_rates
from monitor.cohorts.votes import Votes

Floats = NDArray[np.float64]
JUDGE = "the judge"


def auroc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the curve, ties counted half."""
    rank = rankdata(score)
    p, n = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n))


def oracle(
    events: EventTable, mixture: Mapping[str, float], behaviours: Mapping[str, Behaviour]
) -> Floats:
    """p_biased of one who knows all behaviours and shares, with the crowd's word on each response."""
    shares = dict(mixture)
    shares["benign"] = 1 - sum(shares.values())
    names = sorted(n for n, s in shares.items() if s > 0)
    honest = np.array([behaviours[n].up_on_honest for n in names])
    lies = np.array([behaviours[n].up_on_lies for n in names])
    log_share = np.log([shares[n] for n in names])
    votes = Votes.of(events)
    n_responses = len(events.responses)
    items = Items.of(events, np.full(n_responses, np.nan))
    prior = items.prior(Judge.as_given(len(events.topics)))
    own = own_rates(votes.up, honest, lies, graded=votes.graded)
    message, total = np.zeros(len(events), np.float32), np.zeros(n_responses)
    for _ in range(5):
        level = level_of(cavity(votes, prior, total, message))
        counts = votes.counts(level, np.ones(len(events), bool))
        post = np.asarray(counts @ log_rates(honest, lies)) + log_share
        post = np.exp(post - post.max(axis=1, keepdims=True)).astype(np.float32)
        message = event_messages(post[votes.rater], level, *own)
        total = crowd(votes, message, n_responses)
    post /= post.sum(axis=1, keepdims=True)
    return post[:, names.index("biased")].astype(np.float64)


def plain_gap(events: EventTable) -> Floats:
    """Ups weighted by p_lie less ups weighted by 1 - p_lie, each with one imagined even vote."""
    n, up, q = len(events.raters), (events.value + 1) / 2, events.p_lie
    on_lies = (np.bincount(events.rater, up * q, n) + 0.5) / (np.bincount(events.rater, q, n) + 1)
    on_honest = (np.bincount(events.rater, up * (1 - q), n) + 0.5) / (
        np.bincount(events.rater, 1 - q, n) + 1
    )
    return on_lies - on_honest


def crowd_kit(events: EventTable) -> dict[str, Floats] | None:
    """Scores of crowd-kit's estimators per rater code; None where it is not installed."""
    if importlib.util.find_spec("crowdkit") is None:
        return None
    import pandas as pd  # noqa: PLC0415
    from crowdkit.aggregation import GLAD, MACE, DawidSkene  # noqa: PLC0415

    table = pd.DataFrame(
        {
            "task": np.concatenate((events.response, events.response)),
            "worker": np.concatenate((events.rater.astype(object), [JUDGE] * len(events))),
            "label": np.concatenate(
                (
                    np.where(events.value > 0, "up", "down"),
                    np.where(events.p_lie > 0.4, "down", "up"),
                )
            ),
        }
    ).drop_duplicates(["task", "worker"])
    raters = np.arange(len(events.raters))
    errors = DawidSkene(n_iter=100).fit(table).errors_
    ups_on = errors.xs("up", level="label").reindex(raters)
    mace = MACE(n_restarts=3, n_iter=50, random_state=0).fit(table)
    knowing = np.asarray(mace.spamming_)[:, 1]
    trust = pd.Series(knowing, index=pd.unique(table["worker"])).reindex(raters)
    alpha = GLAD(n_iter=30).fit(table).alphas_.reindex(raters)
    return {
        "Dawid–Skene": (ups_on["down"] - ups_on["up"]).fillna(0.0).to_numpy(),
        "MACE": -trust.to_numpy(),
        "GLAD": -alpha.to_numpy(),
    }
