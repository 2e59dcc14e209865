"""Templates and what they may say: every text is escaped, and made harmless before."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from monitor.console.text import harmless

_HERE = Path(__file__).parent


def name(value: object) -> Markup:
    """A name of a stranger's: escaped, harmless, and isolated from the words around it."""
    return (
        Markup("<bdi>{}</bdi>").format(harmless(str(value)))
        if value not in (None, "")
        else Markup("")
    )


def number(value: float | None, digits: int = 0) -> str:
    """A count with narrow spaces, or a figure with so many digits; a dash for what is missing."""
    if value is None:
        return "—"
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def share(value: Any) -> str:
    """An estimate in per cent with its interval; a dash for what is missing."""
    if value is None or value.estimate is None:
        return "—"
    text = f"{100 * value.estimate:.1f} %"
    if value.lower is None or value.upper is None:
        return text
    return f"{text} ({100 * value.lower:.1f}–{100 * value.upper:.1f})"


def moment(at_s: float | None) -> Markup:
    """A time, UTC, for people and machines."""
    if at_s is None:
        return Markup("—")
    at = datetime.fromtimestamp(at_s, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M UTC")
    )


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


@cache
def environment() -> Environment:
    """The console's templates, all of them compiled: else whoever looks first waits for it."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=100,
    )
    made.filters |= {
        "name": name,
        "number": number,
        "share": share,
        "moment": moment,
        "span": span,
        "segment": lambda value: quote(str(value), safe=""),
        "harmless": harmless,
    }
    made.globals |= {"asset": asset}
    for template in made.list_templates():
        made.get_template(template)
    return made


def rendered(template: str, **values: Any) -> str:
    """A page from its template. Raises jinja2's UndefinedError for a value that was not given."""
    return environment().get_template(template).render(**values)


@cache
def static_file(file: str) -> bytes | None:
    """A file that the console serves; None for any other name."""
    return (_HERE / "static" / file).read_bytes() if file in STATIC else None


STATIC = {"console.css": "text/css", "keys.js": "text/javascript"}
"""Files that the pages load, with their types."""


@cache
def asset(file: str) -> str:
    """The address of a static file, new with every change of it."""
    digest = hashlib.sha256(static_file(file) or b"").hexdigest()[:12]
    return str(escape(f"/console/{digest}/{file}"))
