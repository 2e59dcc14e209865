"""The generated parts of the reference pages: `python -m tools.reference docs` writes them.

A page holds them between `<!-- generated: NAME -->` and `<!-- end -->`; the text around is written
by hand. A test holds the pages and the code together.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evidence import BadInputError
from monitor.services.alarms import TRANSITIONS
from monitor.settings import sections
from monitor.telemetry import METRICS
from tools import figures
from tools.nulls import nulls_and_coverages

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_part() -> str:
    """Every setting with its environment variable, default and meaning, by section."""
    return "\n".join(_sections())


def metrics_part() -> str:
    """Every metric with its type, labels and meaning."""
    lines = [
        "| metric | type | labels | exported by | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "—"
        lines.append(
            f"| `{metric.name}` | {metric.kind} | {labels} | {metric.exporter} | {metric.help} |"
        )
    return "\n".join(lines)


def transitions_part() -> str:
    """What each state of an alarm may become."""
    lines = ["| from | may become |", "| --- | --- |"]
    for state, following in TRANSITIONS.items():
        shown = ", ".join(f"`{name}`" for name in sorted(after.value for after in following))
        lines.append(f"| `{state.value}` | {shown or 'nothing further'} |")
    return "\n".join(lines)


def routes_part() -> str:
    """Every route with its scope, answers and meaning."""
    from tools.openapi import document  # noqa: PLC0415

    described = document()
    lines = ["| route | does | answers |", "| --- | --- | --- |"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            codes = ", ".join(sorted(operation["responses"]))
            lines.append(f"| `{method.upper()} {path}` | {operation['summary']} | {codes} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_part,
    "metrics": metrics_part,
    "transitions": transitions_part,
    "routes": routes_part,
    "nulls_and_coverages": nulls_and_coverages,
    **{
        part.__name__: part
        for part in (
            figures.mean_null,
            figures.mean_delay,
            figures.shipped_delay,
            figures.shipped_null,
            figures.months,
            figures.learned_bounds,
            figures.since,
            figures.honesty,
            figures.cohort_coverage,
            figures.bursts,
        )
    },
}


def regenerated(text: str) -> str:
    """A page with its generated parts made anew. Raises BadInputError for an unknown part."""

    def make(match: re.Match[str]) -> str:
        name = match[2]
        if name not in PARTS:
            raise BadInputError(f"no generated part has the name {name!r}")
        return f"{match[1]}{PARTS[name]()}\n{match[3]}"

    return _BLOCK.sub(make, text)


def _sections() -> Iterator[str]:
    for section, options in sections().items():
        yield f"### `[{section}]`\n"
        yield f"{_sentence(options)}\n"
        yield "| setting | environment | type | default | meaning |"
        yield "| --- | --- | --- | --- | --- |"
        for name, option in options.model_fields.items():
            variable = f"CANDOR_{section}_{name}".upper()
            default = _default(option)
            meaning = " ".join((option.description or "").split())
            shown = _type(option.annotation)
            yield f"| `{section}.{name}` | `{variable}` | {shown} | {default} | {meaning} |"
        yield ""


def _sentence(options: type[BaseModel]) -> str:
    return " ".join((options.__doc__ or "").split())


def _default(option: FieldInfo) -> str:
    if option.is_required():
        return "required"
    value = option.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "—"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | int | float | str):
        return f"`{value}`"
    if isinstance(value, Path):
        return f"`{value}`"
    return f"`{json.dumps(value, default=str)}`"


def _type(annotation: Any) -> str:
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if not arguments:
        names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
        name = getattr(annotation, "__name__", str(annotation))
        return names.get(name, "path" if name == "Path" else name)
    if all(isinstance(part, str) for part in arguments):
        return " or ".join(f"`{part}`" for part in arguments)
    if len(arguments) == 1:
        return _type(arguments[0])
    return "JSON"


def main() -> None:
    """Write the generated parts of every page in a folder."""
    folder = Path(sys.argv[1])
    for page in sorted(folder.glob("*.md")):
        text = page.read_text()
        made = regenerated(text)
        if made != text:
            page.write_text(made)


if __name__ == "__main__":
    main()
