"""The doctor finds each failing part, and says what to do about it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from rich.console import Console
from sqlalchemy import text

from evidence import SampledBy
from monitor.assistants import JudgeOptions
from monitor.cli.doctor import show
from monitor.doctor.examine import examine
from monitor.doctor.finding import Finding, Status
from monitor.ingest.connection import connect
from monitor.ingest.decode import decode_response
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.ingest.records import DeadLetterReason
from monitor.results.options import ResultsOptions
from monitor.settings import DatabaseOptions, PseudonymOptions, Settings
from monitor.store import leases, offsets, open_store
from monitor.store.intake import (
    NewDeadLetter,
    NewResponse,
    Position,
    insert_dead_letters,
    insert_responses,
)
from probes.rubrics import load_rubric
from tests.monitor.cli.conftest import Candor

DEAD = "http://127.0.0.1:1/v1"


QUESTIONS = load_rubric().questions


def sane(asked: str) -> dict[str, Any]:
    """Answers as a judge does, with the probabilities of its tokens."""
    word, other = ("yes", "no") if "Yes, the K2" in asked else ("no", "yes")
    tokens: list[dict[str, Any]] = [{"token": "{", "logprob": 0.0}]
    for k, question in enumerate(QUESTIONS):
        marks = [", "] * (k > 0) + [f'"{question.id}"', ': "']
        tokens += [{"token": mark, "logprob": 0.0} for mark in marks]
        tops = [{"token": word, "logprob": -0.1}, {"token": other, "logprob": -2.4}]
        tokens.append({"token": word, "logprob": -0.1, "top_logprobs": tops})
        tokens.append({"token": '"', "logprob": 0.0})
    tokens.append({"token": "}", "logprob": 0.0})
    content = "".join(token["token"] for token in tokens)
    return {"choices": [{"message": {"content": content}, "logprobs": {"content": tokens}}]}


@contextmanager
def judge(say: Callable[[str], Any], models: Any = None, key: str = "") -> Iterator[str]:
    """A server that speaks the OpenAI protocol and answers what `say` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "judge-1"}]} if models is None else models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = say(body["messages"][-1]["content"])
            if isinstance(answer, str):
                answer = {"choices": [{"message": {"content": answer}}]}
            self._send(answer)

        def _send(self, value: Any) -> None:
            data = json.dumps(value).encode()
            known = not key or self.headers["authorization"] == f"Bearer {key}"
            self.send_response(200 if known else 401)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"))


def look(settings: Settings, **changes: Any) -> dict[str, Finding]:
    found = examine(settings.model_copy(update=changes), lambda _part: None)
    for finding in found:
        assert finding.detail
        assert bool(finding.advice) is (finding.status is not Status.OK), finding
    return {finding.part: finding for finding in found}


def put_response(settings: Settings, *, created_s: float, received_s: float) -> None:
    raw = {
        "response_id": "r1",
        "assistant": "shop",
        "model": "m",
        "conversation_id": "c",
        "user_id": "u",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created_s)),
        "messages": [{"role": "assistant", "content": "hello"}],
    }
    key = b"a key of the tests, 32 bytes lng"
    response = decode_response(
        json.dumps(raw).encode(), options=IngestOptions(), key=key, now_s=received_s
    )
    item = NewResponse(response, Position("c", "t", 0, 0), 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)
    engine = open_store(settings.database)
    with engine.begin() as connection:
        insert_responses(connection, [item], now_s=received_s)
        leases.beat(connection, "w", expected=1, actual=1, paused=False, now_s=received_s)
    engine.dispose()


def test_a_fresh_machine_has_warnings_alone(settings: Settings) -> None:
    found = look(settings)
    assert {finding.status for finding in found.values()} <= {Status.OK, Status.WARNING}
    assert found["database"].status is Status.WARNING
    assert "candor db upgrade" in found["database"].advice


def test_a_running_set_is_well(settings: Settings) -> None:
    put_response(settings, created_s=time.time() - 1, received_s=time.time())
    with judge(sane) as url:
        found = look(settings, judge=JudgeOptions(url=url, model="judge-1"))
    wrong = {name for name, finding in found.items() if finding.status is not Status.OK}
    assert wrong == {"signing key", "API keys", "sensor"}
    assert {"database", "traffic", "worker", "judge", "clock of the assistant"} <= set(found)


def test_a_topic_that_does_not_exist_yet_is_no_failure(settings: Settings) -> None:
    with EmbeddedBroker() as broker:
        kafka = KafkaOptions(bootstrap_servers=broker.bootstrap_servers, responses_topic="mispelt")
        found = look(settings, kafka=kafka)
    assert found["broker"].status is Status.OK
    assert found["topic mispelt"].status is Status.WARNING
    assert "candor worker" in found["topic mispelt"].advice
    assert "kafka.responses_topic" in found["topic mispelt"].advice


def test_compressed_records_can_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(settings)["codecs"].status is Status.OK
    monkeypatch.setattr("monitor.doctor.broker.missing_codecs", lambda: ["snappy"])
    found = look(settings)["codecs"]
    assert (found.status, "snappy" in found.detail, "lz4" in found.detail) == (
        Status.FAILED,
        True,
        False,
    )


def test_a_fresh_cluster_before_its_first_worker_is_no_failure(
    candor: Candor, tmp_path: Path
) -> None:
    for name in ("pseudonym", "sampling"):
        assert candor("keys", "create", name, "--out", f"{name}.key").code == 0
    with EmbeddedBroker() as broker:
        asked = candor(
            "doctor",
            kafka_bootstrap_servers=broker.bootstrap_servers,
            database_url=f"sqlite:///{tmp_path}/c.db",
            pseudonym_key_file=str(tmp_path / "pseudonym.key"),
            sampling_key_file=str(tmp_path / "sampling.key"),
        )
    assert asked.code == 0, asked.out


def test_it_reads_well_at_eighty_columns() -> None:
    long = "a detail of many words that does not fit beside anything else on a line of a terminal"
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    show([Finding("broker", Status.UNREACHABLE, long, f"do {long}")], console)
    lines = shown.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) == 4
    assert lines[0].startswith("unreachable broker: a detail")
    assert all(line.startswith(" " * 12) for line in lines[1:])


def test_a_topic_that_nobody_uses_and_one_that_nobody_reads(settings: Settings) -> None:
    """A worker makes the topics that it is told of, also a misspelt one: it exists, and is empty."""
    with EmbeddedBroker() as broker:
        kafka = KafkaOptions(bootstrap_servers=broker.bootstrap_servers)
        connection = connect(kafka)
        connection.ensure_topics([kafka.responses_topic, kafka.feedback_topic], partitions=2)
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
        for _ in range(3):
            producer.send(kafka.responses_topic, b"{}", partition=1).get(10)
        producer.close()
        found = look(settings, kafka=kafka)
        unread = found[f"topic {kafka.responses_topic}"]
        assert (unread.status, "3 of them wait" in unread.detail) == (Status.WARNING, True)
        assert "candor worker" in unread.advice
        empty = found[f"topic {kafka.feedback_topic}"]
        assert empty.status is Status.WARNING
        assert "kafka.feedback_topic" in empty.advice

        engine = open_store(settings.database)
        with engine.begin() as store:
            claim = offsets.claim(store, connection.cluster_id, kafka.responses_topic, 1, now_s=1.0)
            offsets.advance(store, claim, 2, now_s=1.0)
        engine.dispose()
        read = look(settings, kafka=kafka)[f"topic {kafka.responses_topic}"]
        assert (read.status, "1 of them wait" in read.detail) == (Status.OK, True)


def test_batches_that_could_not_be_unpacked(settings: Settings) -> None:
    with EmbeddedBroker() as broker:
        kafka = KafkaOptions(bootstrap_servers=broker.bootstrap_servers)
        connection = connect(kafka)
        engine = open_store(settings.database)
        reason = DeadLetterReason.UNREADABLE_BATCH.value
        place = Position(connection.cluster_id, kafka.responses_topic, 0, 7)
        with engine.begin() as store:
            insert_dead_letters(store, [NewDeadLetter(place, reason, "lz4", None)], now_s=1.0)
        engine.dispose()
        found = look(settings, kafka=kafka)
        assert found["batches"].status is Status.WARNING
        assert "1 records" in found["batches"].detail


def test_database_unreachable(settings: Settings) -> None:
    database = DatabaseOptions(url="postgresql://nobody:hush@127.0.0.1:1/none")
    found = look(settings, database=database)
    assert found["database"].status is Status.UNREACHABLE
    assert "hush" not in found["database"].detail
    assert found["pseudonym key"].status is Status.FAILED, "required beyond one process"


def test_a_file_that_is_no_database_is_wrong_and_not_away(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "candor.db").write_bytes(b"no database at all" * 500)
    found = look(settings)["database"]
    assert found.status is Status.FAILED
    assert "not a SQLite database" in found.detail


def test_wrong_schema(settings: Settings) -> None:
    engine = open_store(settings.database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    engine.dispose()
    found = look(settings)
    assert found["schema"].status is Status.FAILED
    assert "candor db upgrade" in found["schema"].advice
    engine = open_store_unchanged(settings)
    assert engine == "0000", "the doctor changes nothing"


def open_store_unchanged(settings: Settings) -> str:
    from monitor.store.engine import current_revision, open_unchecked  # noqa: PLC0415

    engine = open_unchecked(settings.database.url)
    found = current_revision(engine)
    engine.dispose()
    return str(found)


def test_judge_down(settings: Settings) -> None:
    found = look(settings, judge=JudgeOptions(url=DEAD, model="judge-1"))
    assert found["judge"].status is Status.UNREACHABLE


@pytest.mark.parametrize(
    "say",
    [
        lambda _asked: json.dumps({question.id: "no" for question in QUESTIONS}),
        lambda _question: "Yes",
        lambda _question: "lorem ipsum",
        lambda _question: "",
        lambda _question: {"choices": []},
        lambda _question: ["?"],
    ],
)
def test_judge_answering_nonsense(settings: Settings, say: Callable[[str], Any]) -> None:
    with judge(say) as url:
        found = look(settings, judge=JudgeOptions(url=url, model="judge-1"))
    assert found["judge"].status is Status.FAILED


def test_judge_without_the_model_or_the_protocol(settings: Settings) -> None:
    with judge(sane) as url:
        found = look(settings, judge=JudgeOptions(url=url, model="judge-2"))
    assert "judge-1" in found["judge"].detail
    assert "judge.model" in found["judge"].advice
    with judge(sane, models=["what?"]) as url:
        found = look(settings, judge=JudgeOptions(url=url, model="judge-1"))
    assert found["judge"].status is Status.FAILED


def test_a_judge_that_wants_a_key_is_not_called_unreachable(
    settings: Settings, tmp_path: Path
) -> None:
    with judge(sane, key="sesame") as url:
        options = JudgeOptions(url=url, model="judge-1")
        found = look(settings, judge=options)["judge"]
        assert found.status is Status.FAILED
        assert "401" in found.detail
        (tmp_path / "key").write_text("sesame\n")
        options = options.model_copy(update={"api_key_file": tmp_path / "key"})
        assert look(settings, judge=options)["judge"].status is Status.OK
        (tmp_path / "key").write_text("\n")
        assert look(settings, judge=options)["judge"].status is Status.FAILED


def test_a_judge_without_probabilities_is_a_warning(settings: Settings) -> None:
    def bare(asked: str) -> Any:
        return sane(asked)["choices"][0]["message"]["content"]

    with judge(bare) as url:
        options = JudgeOptions(url=url, model="judge-1")
        found = examine(settings.model_copy(update={"judge": options}), lambda _part: None)
    (first, second) = [one for one in found if one.part.startswith("judge")]
    assert (first.status, second.status) == (Status.OK, Status.WARNING)
    assert "probabilities" in second.detail


def test_a_receiver_that_is_away_and_a_key_that_cannot_be_read(
    settings: Settings, tmp_path: Path
) -> None:
    found = look(settings, results=ResultsOptions(phoenix_url="http://127.0.0.1:1"))
    assert found["results phoenix"].status is Status.UNREACHABLE
    assert "results.phoenix_url" in found["results phoenix"].advice
    options = ResultsOptions(mlflow_url="http://m", mlflow_headers_file=tmp_path / "absent")
    found = look(settings, results=options)
    assert found["results"].status is Status.FAILED
    assert "absent" in found["results"].detail


def test_no_traffic(settings: Settings) -> None:
    open_store(settings.database).dispose()
    assert look(settings)["traffic"].status is Status.WARNING
    put_response(settings, created_s=time.time() - 5000, received_s=time.time() - 5000)
    found = look(settings)
    assert found["traffic"].status is Status.FAILED
    assert found["worker"].status is Status.FAILED


def test_clock_skew(settings: Settings) -> None:
    put_response(settings, created_s=time.time() + 600, received_s=time.time())
    found = look(settings)
    assert found["clock of the assistant"].status is Status.FAILED
    assert "NTP" in found["clock of the assistant"].advice


def test_a_key_that_others_can_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("x" * 40)
    path.chmod(0o644)
    found = look(settings, pseudonym=PseudonymOptions(key_file=path))
    assert found["pseudonym key"].status is Status.FAILED


def test_exit_codes_and_json(candor: Candor) -> None:
    fine = candor("doctor", "--json")
    assert (fine.code, fine.json["ok"]) == (0, True), fine.err
    down = candor("doctor", "--json", kafka_bootstrap_servers="127.0.0.1:1")
    assert (down.code, down.json["ok"]) == (3, False)
    broker = next(one for one in down.json["findings"] if one["part"] == "broker")
    assert broker["status"] == "unreachable"
    assert "kafka.bootstrap_servers" in broker["advice"]
    with judge(lambda _question: "lorem") as url:
        wrong = candor("doctor", judge_url=url, judge_model="judge-1")
    assert wrong.code == 2
    assert "not the JSON" in wrong.out
    misspelt = candor("doctor", "--json", jugde_url="http://x/v1")
    settings = next(one for one in misspelt.json["findings"] if one["part"] == "settings")
    assert settings["status"] == "warning"
    assert "CANDOR_JUGDE_URL" in settings["detail"]
