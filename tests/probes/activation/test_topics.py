from __future__ import annotations

import numpy as np

from probes.activation.topics import (
    ROWS_PER_TOPIC,
    TOPICS,
    Curve,
    fit_by_topic,
    fit_topics,
    prompt_mean,
)
from probes.calibration import Monotone, Platt, calibration_error, fit_monotone

WIDTH = 6


def features(n: int, rng: np.random.Generator) -> np.ndarray:
    """Contrast features of prompts in two far regions, in turn."""
    prompt = rng.normal(size=(n, WIDTH)) + 20.0 * (np.arange(n) % 2)[:, None]
    mean = rng.normal(size=(n, WIDTH))
    return np.concatenate([mean - prompt, rng.normal(size=(n, WIDTH)), mean], axis=1)


def test_the_prompt_is_read_back_out_of_the_features() -> None:
    prompt, mean, last = np.eye(3, WIDTH), np.ones((3, WIDTH)), np.zeros((3, WIDTH))
    assert np.allclose(prompt_mean(np.concatenate([mean - prompt, last, mean], axis=1)), prompt)


def test_far_prompts_share_no_topic_and_few_prompts_have_none() -> None:
    rng = np.random.default_rng(0)
    rows = features(400, rng)
    topics = fit_topics(rows)
    assert topics is not None
    assert len(topics.centres) == TOPICS
    found = topics.of(rows)
    assert not set(found[::2]) & set(found[1::2])
    assert fit_topics(rows[: 2 * ROWS_PER_TOPIC - 1]) is None


def test_a_topic_where_the_margin_says_nothing_stays_near_the_share_of_lies() -> None:
    rng = np.random.default_rng(1)
    topic = np.arange(2000) % 2
    margin = rng.normal(size=2000)
    told = rng.random(2000) < 1 / (1 + np.exp(-3 * margin))
    labels = np.where(topic == 0, told, rng.random(2000) < 0.5).astype(int)
    train, test = slice(0, 1000), slice(1000, 2000)
    base = fit_monotone(margin[train], labels[train])
    curve = fit_by_topic(base, margin[train], topic[train], labels[train], 2)
    p = curve(margin[test], topic[test])
    plain = Curve(base)(margin[test], topic[test])
    blind = topic[test] == 1
    assert np.abs(p[blind] - 0.5).mean() < 0.1 < np.abs(plain[blind] - 0.5).mean()
    for part in (blind, ~blind):
        errors = [
            calibration_error(q[part], labels[test][part], rng=np.random.default_rng(0)).estimate
            for q in (p, plain)
        ]
        assert errors[0] < errors[1]


def test_no_topic_turns_the_order_around() -> None:
    rng = np.random.default_rng(2)
    margin = rng.normal(size=400)
    topic = np.arange(400) % 2
    labels = np.where(topic == 0, margin > 0, margin < 0).astype(int)
    curve = fit_by_topic(fit_monotone(margin, labels), margin, topic, labels, 2)
    assert all(line.slope >= 0 for line in curve.by_topic)
    assert min(line.slope for line in curve.by_topic) == 0.0


def test_without_topics_it_is_the_rising_curve() -> None:
    base = Monotone((-1.0, 1.0), (0.2, 0.8), Platt(1.0, 0.0))
    margins = np.array([-2.0, 0.0, 0.5])
    assert Curve(base)(margins, np.zeros(3)).tolist() == [base(float(m)) for m in margins]
