from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from evidence import BadInputError
from monitor.cli import cohorts, simulate
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.options import IngestOptions

app = typer.Typer()
cohorts.register(app)
simulate.register(app)
runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def feedback(tmp_path_factory):
    path = tmp_path_factory.mktemp("feedback") / "f.jsonl"
    result = run(
        "simulate", "feedback", "--out", path, "--raters", 400, "--biased", 0.2, "--sybils", 30
    )
    assert result.exit_code == 0
    return path


def test_the_report_has_the_documented_shape(feedback, tmp_path):
    picture = tmp_path / "raters.png"
    report = json.loads(run("cohorts", feedback, "--json", "--plot", picture).stdout)
    share = report["biased_fraction"]
    assert share["lower"] < 0.25
    assert share["upper"] > 0.19
    assert set(report["raters"][0]) >= {"user_id", "p_biased", "status"}
    assert len(report["groups"][0]["raters"]) >= 27
    assert report["influence"]["sft_lie_share"]["difference"]["estimate"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_share_over_time_is_drawn(feedback, tmp_path):
    picture = tmp_path / "share.png"
    said = json.loads(run("cohorts", feedback, "--json", "--plot-share", picture).stdout)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert said["influence"]["forecast"]["status"] == "no_forecast"


@pytest.mark.parametrize("option", ["--plot", "--plot-share"])
def test_a_picture_without_a_folder_is_refused_before_anything_is_estimated(
    option, feedback, tmp_path, monkeypatch
):
    monkeypatch.setattr("monitor.cohorts.estimate.estimate", None)
    with pytest.raises(BadInputError, match="folder does not exist"):
        run("cohorts", feedback, option, tmp_path / "no" / "share.png")


def test_the_next_retrain_is_forecast_from_measured_doses(feedback, tmp_path):
    curve = tmp_path / "curve.json"
    points = [
        {"dose": dose, "honesty_delta": delta, "lower": delta - 0.1, "upper": delta, "n": 80}
        for dose, delta in ((0.0, 0.0), (1.0, -0.8))
    ]
    curve.write_text(json.dumps({"source": "two runs", "points": points}))
    said = json.loads(run("cohorts", feedback, "--json", "--dose-response", curve).stdout)
    forecast = said["influence"]["forecast"]
    assert forecast["status"] == "forecast"
    dose = said["influence"]["sft_lie_share"]["with_cohort"]["estimate"]
    assert forecast["with_cohort"]["estimate"] == pytest.approx(-0.8 * dose)
    assert "two runs" in run("cohorts", feedback, "--dose-response", curve).stdout


def test_the_order_of_lines_does_not_matter(feedback, tmp_path):
    lines = feedback.read_text().splitlines()
    other = tmp_path / "reversed.jsonl"
    other.write_text("\n".join(reversed(lines)))
    assert run("cohorts", feedback, "--json").stdout == run("cohorts", other, "--json").stdout


def test_the_table_names_suspects_and_groups(feedback):
    out = run("cohorts", feedback).stdout
    assert "biased raters" in out
    assert "suspects" in out
    assert "group " in out


def test_truth_lies_beside_the_stream(feedback):
    truth = [json.loads(line) for line in feedback.with_suffix(".truth.jsonl").open()]
    kinds = [t["behaviour"] for t in truth if "user_id" in t]
    assert kinds.count("biased") == 80
    assert kinds.count("sybil") == 30
    assert any(t.get("is_lie") for t in truth)


def test_the_same_seed_gives_the_same_stream(tmp_path):
    for name in ("a", "b"):
        run(
            "simulate", "feedback", "--out", tmp_path / f"{name}.jsonl", "--raters", 20, "--seed", 3
        )
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "truncated"),
        ('{"user_id": "u"}', "response_id"),
        ('{"user_id":"u","response_id":"r","value":2,"created_at":1}', "value"),
        (
            '{"user_id":"u","response_id":"r","value":1,"created_at":"2025-01-01T00:00:00"}',
            "time zone",
        ),
        ('{"user_id":"u","response_id":"r","value":1,"p_lie":1.5,"created_at":1}', "p_lie"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, what):
    good = '{"user_id":"u","response_id":"r","value":1,"p_lie":0.2,"created_at":"2025-01-01T00:00:00Z"}'
    path = tmp_path / "bad.jsonl"
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(BadInputError, match=what) as error:
        run("cohorts", path)
    assert error.value.where == f"{path}:3"


def test_an_empty_or_missing_file_is_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(BadInputError, match="no feedback"):
        run("cohorts", tmp_path / "empty.jsonl")
    with pytest.raises(BadInputError, match="no such file"):
        run("cohorts", tmp_path / "none.jsonl")


def test_labels_are_read(tmp_path, feedback):
    labels = tmp_path / "labels.jsonl"
    truth = (json.loads(line) for line in feedback.with_suffix(".truth.jsonl").open())
    audited = [t for t in truth if "response_id" in t][:300]
    labels.write_text("\n".join(json.dumps(t) for t in audited))
    report = json.loads(run("cohorts", feedback, "--labels", labels, "--json").stdout)
    assert report["topics"][0]["n_labels"] > 200


def test_options_out_of_range_are_named():
    with pytest.raises(BadInputError, match="less than 1"):
        run("cohorts", "x.jsonl", "--limit", 2)
    with pytest.raises(BadInputError, match="none of"):
        run("simulate", "feedback", "--out", "x.jsonl", "--behaviour", "nice=0.1")
    with pytest.raises(BadInputError, match="exceed 1"):
        run("simulate", "feedback", "--out", "x.jsonl", "--behaviour", "random=0.9")


def test_traffic_can_be_read_as_the_topics_take_it(tmp_path):
    result = run("simulate", "traffic", "--out", tmp_path, "--raters", 40, "--json")
    said = json.loads(result.stdout)
    options = IngestOptions(assistants={"rehearsal": ("other",)})
    for name, decode in (("responses", decode_response), ("feedback", decode_feedback)):
        lines = (tmp_path / f"{name}.jsonl").read_bytes().splitlines()
        assert len(lines) == said[name]
        for line in lines[:50]:
            record = decode(line, options=options, key=b"k" * 32, now_s=1.8e9)
            assert hasattr(record, "rater"), record
