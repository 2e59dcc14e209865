"""Keys of model servers: from a file or from a variable of the environment, never from an argument."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from evidence import BadInputError


def read_key(
    file: Path | None, variable: str | None = None, *, environment: Mapping[str, str] | None = None
) -> str | None:
    """The key that a server wants as a bearer token; None where neither place is given.

    Parameters
    ----------
    file
        File that holds the key.
    variable
        Name of the variable that holds it.
    environment
        Where the variable is looked up; that of this process by default.

    Raises BadInputError when both are given, for a file that cannot be read, for a variable that is
    not set, and for a value that no header can carry. No message holds the key.
    """
    if file is not None and variable is not None:
        raise BadInputError(
            "a key is in a file or in a variable, not in both", f"{file}, ${variable}"
        )
    if file is not None:
        return _checked(_content(file), str(file))
    if variable is None:
        return None
    found = (os.environ if environment is None else environment).get(variable)
    if found is None:
        raise BadInputError("the variable with the key is not set", f"${variable}")
    return _checked(found, f"${variable}")


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"no key can be read: {type(error).__name__}", str(path)) from error


def _checked(value: str, where: str) -> str:
    key = value.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise BadInputError("holds no key: one line of printable characters", where)
    return key
