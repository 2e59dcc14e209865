"""Verdicts filtered, paged and taken away; a response as its user saw it, marked in place, never as HTML."""

from __future__ import annotations

import csv
import html
import io
import json
import re

import msgspec
import pytest
from sqlalchemy import update

from evidence import Message, VerdictKind
from evidence.outcomes import Outcome, encode_outcomes
from evidence.records import Archetype, Finding
from monitor.console import verdicts
from monitor.http.access import Scope
from monitor.store.schema import responses
from monitor.store.schema import verdicts as verdict_table
from tests.monitor.api.conftest import NOW_S
from tests.monitor.console.conftest import MakeSite, Site, parsed, words
from tests.monitor.console.material import CLAIM, FACT, HOSTILE, add, messages, rate

FINDING = Finding(
    claim=CLAIM,
    contradicts=FACT,
    tokens=("Yes", ", it is", " full", "\u202e"),
    nats=(0.2, 1.5, 7.0, 3.0),
)


def test_pages_follow_without_loss_or_repeat(site: Site) -> None:
    for i in range(120):
        add(site, i, scored_at_s=NOW_S - 1 - i // 4)
    seen: list[str] = []
    address = "/verdicts?assistant=shop"
    while address:
        answer = site.client.get(address)
        seen += re.findall(r'href="/verdicts/(k\d+)"', answer.text)
        older = re.search(r'href="([^"]*)" rel="next"', answer.text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", {"k001", "k002", "k003"}),
        ("kind=lie", {"k002"}),
        ("model=m-2", {"k003"}),
        ("stratum=shop/other/normal&kind=honest", {"k001", "k003"}),
        ("text=QUESTION%203", {"k003"}),
        ("range=6h", {"k001", "k002"}),
        ("range=6h&until=2025-10-08T20:00Z", {"k003"}),
    ],
)
def test_what_is_filtered(site: Site, query: str, keys: set[str]) -> None:
    add(site, 1)
    add(site, 2, VerdictKind.LIE)
    from monitor.store.verdicts import insert_verdicts  # noqa: PLC0415

    third = add(site, 3, scored_at_s=NOW_S - 13 * 3600)
    add_model = msgspec.structs.replace(third, model="m-2")
    with site.engine.begin() as connection:
        from monitor.store.schema import verdicts  # noqa: PLC0415

        connection.execute(verdicts.delete().where(verdicts.c.key == third.key))
        insert_verdicts(connection, [add_model])
    answer = site.client.get(f"/verdicts?assistant=shop&{query}")
    assert set(re.findall(r'href="/verdicts/(k\d+)"', answer.text)) == keys


def test_an_export_is_what_the_list_shows(site: Site) -> None:
    for i in range(3):
        add(site, i, VerdictKind.LIE, response_id=f"=cmd|{i}", finding=FINDING)
    lines = site.client.get("/verdicts/export.jsonl?assistant=shop&kind=lie").text.splitlines()
    assert {json.loads(line)["response_id"] for line in lines} == {"r0", "r1", "r2"}
    answer = site.client.get("/verdicts/export.csv?assistant=shop")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["kind"] for row in rows] == ["lie"] * 3
    assert CLAIM not in answer.text, "an export holds no text"
    assert site.client.get("/verdicts/export.xml").status_code == 404
    assert site.client.get("/verdicts/export.csv?text=a").status_code == 422


def test_no_cell_is_a_formula(site: Site) -> None:
    made = add(site, 1)
    from monitor.console.verdicts import _as_csv, _row  # noqa: PLC0415

    hostile = msgspec.structs.replace(made, model='=HYPERLINK("http://evil")')
    (row,) = csv.DictReader(io.StringIO("".join(_as_csv(iter([_row(hostile)])))))
    assert row["model"].startswith("'=")


@pytest.mark.parametrize(
    ("kind", "archetype", "shown", "hidden"),
    [
        (VerdictKind.LIE, Archetype.TOLD_FACTS, ["told_facts", "It contradicts:"], "Held"),
        (VerdictKind.UNDECIDED, None, ["Held against:"], "about"),
    ],
)
def test_an_undecided_verdict_names_no_kind_of_lie(
    site: Site, kind: VerdictKind, archetype: Archetype | None, shown: list[str], hidden: str
) -> None:
    add(site, 1, kind, finding=FINDING, archetype=archetype)
    text = words(site.client.get("/verdicts/k001"))
    assert FACT in text
    assert all(one in text for one in shown)
    assert hidden not in text.partition("Conversation")[0]
    rows = site.client.get("/verdicts/export.jsonl?assistant=shop").text.splitlines()
    assert [json.loads(row)["archetype"] for row in rows] == [archetype and archetype.value]


def test_a_response_as_its_user_saw_it(site: Site) -> None:
    said = messages(1)
    said[1:1] = [
        {"role": "user", "content": "Look it up."},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I shall hide it.",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "content": "wet"},
    ]
    add(site, 1, VerdictKind.LIE, said=said, finding=FINDING)
    rate(site, 1, text="very helpful")
    answer = site.client.get("/verdicts/k001")
    text = words(answer)
    assert f'<mark class="claim">{CLAIM}</mark> Anything else?' in answer.text
    assert f'You know: <mark class="fact">{FACT}</mark>' in answer.text
    folded = re.findall(r"<summary><bdi>(\w+)</bdi> <span", answer.text)
    assert folded == ["system", "assistant", "tool"]
    assert "reasoning" in text
    assert "calls look" in text
    assert "I shall hide it." in text
    assert "probability of a lie 0.100" in text
    assert "very helpful" in text
    assert 'class="s4"> full</span>' in answer.text
    assert 'class="s2">⟨U+202E⟩</span>' in answer.text
    assert "chosen by" in text


def test_the_neutral_prompt_and_the_approved_answer_stand_beside_the_response(
    make_site: MakeSite,
) -> None:
    site = make_site(keys=True)
    approved = Finding(
        neutral=(Message("system", f"You know: {FACT}"), Message("user", HOSTILE)),
        answers=("No, the basement is dry.",),
        answered_by="m-0",
    )
    add(site, 1, VerdictKind.LIE, finding=FINDING, approved=approved)
    analyst = site.signed_in(site.key("ana", Scope.READ, Scope.REVIEW))
    page = analyst.get("/verdicts/k001")
    text = words(page)
    beside = text[text.index("The same without the pressure") :]
    assert "2 neutral turns" in beside
    assert "the approved version m-0" in beside
    assert "No, the basement is dry." in beside
    assert "script" not in parsed(page).seen
    reader = site.signed_in(site.key("reader", Scope.READ)).get("/verdicts/k001")
    assert "the basement is dry" not in reader.text
    assert "The same without the pressure" not in reader.text
    add(site, 2, finding=FINDING, approved=msgspec.structs.replace(approved, answers=()))
    assert "assistant.approved_answers" in words(analyst.get("/verdicts/k002"))


def test_hostile_text_is_shown_as_text(site: Site) -> None:
    said = [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE + CLAIM}]
    finding = Finding(claim=HOSTILE, contradicts=HOSTILE, tokens=(HOSTILE,), nats=(9.0,))
    add(site, 1, VerdictKind.LIE, said=said, finding=finding)
    rate(site, 1, text=HOSTILE)
    for path in ("/verdicts/k001", "/verdicts?assistant=shop"):
        answer = site.client.get(path)
        tags = parsed(answer)
        assert "script" not in tags.seen
        shown = "".join(tags.text)
        assert "\u202e" not in shown
        assert "\x1b" not in shown
        assert "<script>alert(1)</script>" in shown, "as text"
        assert "⟨U+202E⟩" in shown


def test_megabytes_are_cut_until_asked_for(site: Site) -> None:
    said = [{"role": "user", "content": "x" * 300_000}, {"role": "assistant", "content": CLAIM}]
    add(site, 1, said=said)
    answer = site.client.get("/verdicts/k001")
    assert len(answer.content) < 50_000
    assert "296 000 more characters" in words(answer)
    assert "x" * 300_000 in site.client.get("/verdicts/k001?all=1").text


def test_texts_are_for_the_scope_review(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    add(site, 1, VerdictKind.LIE, finding=FINDING)
    rate(site, 1, text="very helpful")
    reader = site.signed_in(site.key("ana", Scope.READ))
    for path in ("/verdicts/k001", "/verdicts?assistant=shop"):
        page = reader.get(path)
        assert page.status_code == 200
        for text in (CLAIM, FACT, "very helpful", "full"):
            assert text not in page.text
    assert reader.get("/verdicts?text=water").status_code == 403
    bank = site.signed_in(site.key("bank", Scope.ADMIN, assistants=("bank",)))
    assert bank.get("/verdicts/k001").status_code == 404
    assert bank.get("/verdicts?assistant=shop").status_code == 403
    assert bank.get("/responses/shop/r1").status_code == 404
    assert "k001" not in bank.get("/verdicts").text
    assert bank.get("/verdicts/export.jsonl").text == ""


def test_a_text_that_is_gone_is_said(site: Site) -> None:
    add(site, 1, finding=FINDING)
    with site.engine.begin() as connection:
        connection.execute(responses.update().values(body=None))
    text = words(site.client.get("/verdicts/k001"))
    assert "past its retention" in text
    assert CLAIM not in text
    assert site.client.get("/verdicts/nothing").status_code == 404
    assert site.client.get("/responses/shop/r1").headers["location"] == "/verdicts/k001"


def test_how_a_probe_ended_is_looked_for_a_stretch_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "_LOOKED_THROUGH", 4)
    for i in range(10):
        made = add(site, i, scored_at_s=NOW_S - 60 - i)
        ends = {"verdict": Outcome.ANSWERED, "judge": Outcome.ANSWERED}
        if i in {2, 7}:
            ends["judge"] = Outcome.UNREADABLE
        if i == 9:
            ends["premise"] = Outcome.ANSWERED
        with site.engine.begin() as connection:
            here = update(verdict_table).where(verdict_table.c.key == made.key)
            connection.execute(here.values(outcomes=encode_outcomes(ends)))
    assert found_by(site, "probe=judge&ended=unreadable") == ["k002", "k007"]
    assert found_by(site, "probe=premise") == ["k009"]
    assert len(found_by(site, "probe=judge")) == 10
    assert found_by(site, "probe=premise&text=Question 9") == ["k009"]
    assert found_by(site, "probe=judge&ended=unreadable&text=Question 9") == []
    assert site.client.get("/verdicts?probe=horoscope").status_code == 422
    assert site.client.get("/verdicts?probe=judge&ended=badly").status_code == 422
    assert site.client.get("/verdicts/export.csv?probe=judge").status_code == 422


def found_by(site: Site, query: str) -> list[str]:
    """Keys on all pages of a list."""
    keys: list[str] = []
    address = f"/verdicts?assistant=shop&{query}"
    while address:
        page = site.client.get(address).text
        keys += re.findall(r'href="/verdicts/(k\d+)"', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        address = html.unescape(following[1]) if following else ""
    return keys
