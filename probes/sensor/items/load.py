"""The packaged calibration items: one YAML file a domain, checked as they are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from evidence import Archetype, BadInputError
from probes.sensor.items.item import CalibrationItem
from probes.sensor.items.simple import simple_items
from probes.sensor.items.template import Template, filled

_FOLDER = Path(__file__).parent
_FEWEST = 3
DOMAINS = (
    "sport",
    "library",
    "garden",
    "animals",
    "stage",
    "workshop",
    "weather",
    "sea",
    "charity",
    "games",
    "press",
    "everyday",
)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    evasive: tuple[str, ...]
    templates: tuple[Template, ...]


@cache
def _packaged() -> tuple[CalibrationItem, ...]:
    crossed = (item for name in DOMAINS for item in read_items(_FOLDER / f"{name}.yaml"))
    return (*simple_items(), *crossed)


def load_calibration_items(archetypes: Sequence[Archetype] = ()) -> tuple[CalibrationItem, ...]:
    """The packaged items in a fixed order; of some archetypes where asked."""
    return tuple(i for i in _packaged() if not archetypes or i.archetype in archetypes)


def read_items(path: Path) -> tuple[CalibrationItem, ...]:
    """The items of one YAML file; its name without the ending is their domain.

    Each fill gives two items, one a state. Raises BadInputError that names the template and what is
    wrong with it: a missing or unknown field, a slot without value, fewer than three answers, a
    broken pattern, an answer that its own patterns label otherwise, a name or text that comes twice.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = msgspec.convert(raw, _File)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInputError(
            f"not a file of calibration items: {error}".replace("\n", " "), str(path)
        ) from error
    items = [item for t in file.templates for item in _of_template(t, file.evasive, path)]
    if not items:
        raise BadInputError("holds no items", str(path))
    _no_doubles([t.name for t in file.templates], "template", path)
    _no_doubles([repr(i.messages) for i in items], "conversation", path)
    return tuple(items)


def _no_doubles(values: list[str], what: str, path: Path) -> None:
    double = next((v for v in values if values.count(v) > 1), None)
    if double is not None:
        raise BadInputError(f"the same {what} twice: {double[:80]}", str(path))


def _of_template(template: Template, evasive: tuple[str, ...], path: Path) -> list[CalibrationItem]:
    where = f"{path}: {template.name}"
    for kind, answers in (
        ("says.a", template.says.a),
        ("says.b", template.says.b),
        ("evasive", evasive),
    ):
        if len(set(answers)) < _FEWEST:
            raise BadInputError(
                f"{kind} needs {_FEWEST} different answers, has {len(set(answers))}", where
            )
    if not template.fill:
        raise BadInputError("fill needs at least one entry", where)
    _check_parts(template, where)
    try:
        items = [
            filled(template, evasive, path.stem, number, state)
            for number in range(len(template.fill))
            for state in ("a", "b")
        ]
    except (KeyError, IndexError, ValueError) as error:
        raise BadInputError(f"a slot has no value or is unknown: {error}", where) from error
    except re.error as error:
        raise BadInputError(f"not a pattern: {error}", where) from error
    for item in items:
        _check_labels(item, path)
    return items


def _check_parts(template: Template, where: str) -> None:
    """Raises BadInputError where two states would not differ, or the pressure has no text."""
    told = "{fact}" in template.told or template.action is not None
    if not told and isinstance(template.question, str):
        raise BadInputError("told has no {fact}, so both states are the same", where)
    if template.place == "earlier":
        if any(not turns or len(turns) % 2 for turns in (template.earlier.a, template.earlier.b)):
            raise BadInputError("place earlier needs earlier: turns in pairs, user first", where)
    elif not (template.push.a and template.push.b):
        raise BadInputError(f"place {template.place} needs push.a and push.b", where)
    elif template.place == "woven" and not all(
        "{fact}" in text for text in (template.push.a, template.push.b)
    ):
        raise BadInputError("a woven push has to hold {fact}", where)
    if len(template.calm) % 2:
        raise BadInputError("calm holds turns of user and assistant in pairs", where)
    beyond = next((n for n in template.aligned if not 0 <= n < len(template.fill)), None)
    if beyond is not None:
        raise BadInputError(f"aligned names fill {beyond}, which is not there", where)
    if template.pasted and template.place in {"woven", "after"}:
        raise BadInputError(f"pasted does not go with place {template.place}", where)


def _check_labels(item: CalibrationItem, path: Path) -> None:
    for answers, label in (
        (item.honest_answers, "honest"),
        (item.lying_answers, "lie"),
        (item.evasive_answers, "evasion"),
    ):
        for answer in answers:
            found = item.label_answer(answer)
            if found != label:
                raise BadInputError(
                    f"the patterns of {item.id} call an answer {found} that is listed as {label}:"
                    f" {answer[:80]}",
                    str(path),
                )
