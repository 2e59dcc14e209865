"""Who acts at the command line: a person by name, and by their API key wherever such keys are in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from evidence import BadInputError
from evidence.person import Person, person

Sees = Callable[[str], bool]
"""Whether who acts may see an assistant."""

_OPTION = "--api-key-file"


def sees_all(_assistant: str) -> bool:
    """Of a person whom no key limits."""
    return True


class Actor(msgspec.Struct, frozen=True):
    """A person who acts, and the assistants for which they may."""

    person: Person
    sees: Sees = sees_all


def acting(keys_file: Path | None, scope: str, by: str | None, api_key_file: Path | None) -> Actor:
    """The person who acts. With API keys in use they show theirs, which must have the scope; it is read
    from a file, since arguments are seen by other users of the machine.

    Raises BadInputError without a name, a valid key or its scope.
    """
    if keys_file is None:
        return Actor(person(by))
    from monitor.http.access import Scope, holder  # noqa: PLC0415 -- loads FastAPI

    if api_key_file is None:
        raise BadInputError("API keys are in use: name the file with yours", _OPTION)
    try:
        token = api_key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError("the file with your API key cannot be read", _OPTION) from error
    found = holder(keys_file, token)
    if found is None:
        raise BadInputError("no API key of this service", _OPTION)
    if not found.may(Scope(scope)):
        raise BadInputError(f"the key {found.name!r} lacks the scope {scope}", _OPTION)
    return Actor(person(by, found.name), found.sees)
