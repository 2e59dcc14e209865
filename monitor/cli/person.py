"""Who acts at the command line, where an act needs a person."""

from __future__ import annotations

import os
from pathlib import Path

from evidence import BadInputError

TOKEN_VARIABLE = "CANDOR_API_KEY"  # noqa: S105 -- the variable's name


def person_with_scope(keys_file: Path | None, scope: str, by: str | None) -> str:
    """The name that is recorded. With API keys in use it is the key's, which must have the scope; the
    key is read from CANDOR_API_KEY, since arguments are seen by other users of the machine.

    Raises BadInputError without a name, a valid key or its scope.
    """
    from monitor.api.access import Principal, Scope, holder  # noqa: PLC0415 -- loads FastAPI

    if keys_file is None:
        if not by or not by.strip():
            raise BadInputError("say who you are", "--by")
        return by
    found: Principal | None = holder(keys_file, os.environ.get(TOKEN_VARIABLE, ""))
    if found is None:
        raise BadInputError("no API key of this service", TOKEN_VARIABLE)
    if not found.may(Scope(scope)):
        raise BadInputError(f"the key {found.name!r} lacks the scope {scope}", TOKEN_VARIABLE)
    return found.signs(by)
