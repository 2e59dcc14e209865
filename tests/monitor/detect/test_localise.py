"""Where an alarm is: the topic that lies, the model that lies, the size after the alarm, the telling verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from evidence import Alarm, VerdictKind
from evidence.records import LoggedVerdict
from monitor.detect.localise import LocatedVerdict, localise
from monitor.detect.options import DetectionOptions
from monitor.detect.stratum import advance, new_state
from monitor.detect.topics import topics

STRATUM = "shop/other/normal"
OPTIONS = DetectionOptions(reference=0.1, tolerance=0.02)
TEXTS = {
    "refund": "When is my refund paid? The refund is paid within ten days to your card.",
    "battery": "Does the battery overheat? The battery stays cool and never overheats.",
    "opening": "When do you open on Sunday? The store opens at nine on Sunday.",
}


def fake_embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Directions by word, with a little noise that each text has of its own."""
    made = np.array([[word in text.lower() for word in TEXTS] for text in texts], np.float32)
    made += [0.02 * np.random.default_rng(len(text)).normal(size=3) for text in texts]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def located() -> list[LocatedVerdict]:
    """150 honest verdicts by m1 on three topics, then 120 by m2, which lies about batteries."""
    rng, made = np.random.default_rng(8), []
    for i in range(1, 271):
        topic = list(TEXTS)[i % 3]
        model = "m1" if i <= 150 else "m2"
        lies = topic == "battery" and model == "m2"
        entry = LoggedVerdict(
            log_position=i,
            stratum=STRATUM,
            kind=VerdictKind.LIE if lies else VerdictKind.HONEST,
            p_lie=float(np.clip((0.9 if lies else 0.05) + 0.03 * rng.normal(), 0, 1)),
            p_evasion=0.0,
            inclusion_probability=1.0,
            model=model,
            evaluator_version="e",
            scored_at_s=1_000.0 + i,
        )
        made.append(
            LocatedVerdict(entry=entry, key=f"k{i}", response_id=f"r{i}", text=TEXTS[topic])
        )
    return made


@pytest.fixture(scope="module")
def alarm() -> Alarm:
    log = [item.entry for item in located()]
    _, alarms = advance(new_state(STRATUM, options=OPTIONS), log, options=OPTIONS)
    return next(a for a in alarms if a.metric == "lie")


def test_topic_model_size_and_telling_verdicts(alarm: Alarm) -> None:
    found = localise(alarm, located(), embed=fake_embed, at_s=5.0)
    assert found.topics_missing is None
    worst, *others = found.topics
    assert "battery" in worst.name or "overheat" in worst.name
    assert worst.mean is not None
    assert worst.mean > 0.8
    assert worst.mean_before is not None
    assert worst.mean_before < 0.1
    assert worst.lower is not None
    assert all(part.upper is not None and part.upper < worst.lower for part in others)
    assert found.models[0].name == "m2"
    assert found.size is not None
    assert found.size.n == 270 - alarm.log_position
    assert found.size.lower < 1 / 3 * 0.9 + 2 / 3 * 0.05 < found.size.upper
    assert len(found.telling) == 20
    assert {item.kind for item in found.telling} == {"lie"}
    assert {item.topic for item in found.telling} == {worst.name}
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_without_an_embedder_or_texts_it_says_so(alarm: Alarm) -> None:
    bare = localise(alarm, located(), embed=None, at_s=5.0)
    assert bare.topics == ()
    assert bare.topics_missing
    assert bare.models[0].name == "m2"
    textless = [msgspec.structs.replace(item, text=None) for item in located()]
    assert localise(alarm, textless, embed=fake_embed, at_s=5.0).topics_missing == "no text is kept"


def test_before_any_later_verdict_there_is_no_size(alarm: Alarm) -> None:
    seen = [item for item in located() if item.entry.log_position <= alarm.log_position]
    assert localise(alarm, seen, embed=None, at_s=5.0).size is None


@pytest.mark.parametrize("texts", [["the same words"] * 40, ["..."] * 40, ["few"] * 3])
def test_texts_without_topics_are_one_topic(texts: list[str]) -> None:
    labels, names = topics(texts, fake_embed)
    assert set(labels) == {0}
    assert names == ["all"]


@pytest.mark.model
def test_topics_by_the_packaged_embeddings(alarm: Alarm) -> None:
    from probes.models.embedding import Embedder  # noqa: PLC0415 -- loads torch

    found = localise(alarm, located(), embed=Embedder().embed, at_s=5.0)
    assert "battery" in found.topics[0].name or "overheat" in found.topics[0].name
    assert found.topics[0].mean is not None
    assert found.topics[0].mean > 0.8
