"""docs/telemetry.md beside the code: every attribute that it names is read, and none is read that it does not name."""

import re
from pathlib import Path

import pytest

from monitor.cli import imports
from monitor.ingest.files import FORMS, langfuse, mlflow, phoenix
from monitor.ingest.otlp import PASSED_OVER, events, parts
from monitor.ingest.otlp.numbered import NAMES, PREFIXES
from monitor.ingest.otlp.spans import READ

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
READ_PART = PAGE.split("## What is read")[1].split("## How a turn is joined")[0]
FILES = PAGE.split("## Exported files")[1].split("## What is not read")[0]
_SHAPES = {"input.mime_type", "output.mime_type"}
_EVENTS = {events.DETAILS, events.CHOICE, events.RESULT, *events.MESSAGES}
ATTRIBUTES = READ | NAMES | events.EVENT_READ


def named() -> set[str]:
    return set(re.findall(r"`((?:[a-z_]+\.)+[a-zA-Z_.…]+)`", READ_PART))


def test_every_attribute_on_the_page_is_read() -> None:
    known = ATTRIBUTES | {f"{prefix}N…" for prefix in PREFIXES} | _EVENTS
    assert named() <= known, named() - known


def test_every_attribute_that_is_read_is_on_the_page() -> None:
    missing = ATTRIBUTES - named() - _SHAPES - {"llm.request.type"}
    assert not missing
    assert all(f"`{prefix}N…`" in READ_PART for prefix in PREFIXES)


def test_every_operation_that_is_read_is_on_the_page() -> None:
    operations = {parts.TOOL, *parts.AGENTS, *(parts.LINKS - {"chain"}), "CHAIN"}
    assert all(f"`{name}`" in READ_PART for name in operations)


def test_every_format_of_files_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", FILES, re.MULTILINE))
    assert rows == {*FORMS, "openai"} == set(imports.FORMATS)


@pytest.mark.parametrize("module", [phoenix, langfuse, mlflow])
def test_every_field_of_a_file_on_the_page_is_read(module: object) -> None:
    name = module.__name__.rsplit(".", 1)[1]  # type: ignore[attr-defined]
    code = Path(str(module.__file__)).read_text("utf-8")  # type: ignore[attr-defined]
    table = FILES.split("| --- |")[-1]
    rows = table.split(f"| `{name}` |")[1]
    rows = re.split(r"\n\| `", rows)[0]
    fields = set(re.findall(r"`([\w.]+)`", rows.split("\n\n")[0]))
    assert fields
    assert all(f'"{field}"' in code for field in fields), fields


def test_reasons_are_told_in_as_many_words() -> None:
    told = PAGE.split("Everything else is passed over")[1].split("\n\n")[0].split("): ")[1]
    assert len(re.sub(r"\([^)]*\)", "", told).split(",")) == len(PASSED_OVER)
