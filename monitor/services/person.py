"""Who acts at the command line, where an act needs a person."""

from __future__ import annotations

from pathlib import Path

from evidence import BadInputError

_OPTION = "--api-key-file"


def person_with_scope(
    keys_file: Path | None, scope: str, by: str | None, api_key_file: Path | None
) -> str:
    """The name that is recorded. With API keys in use it is that of the person's key, which must have
    the scope; it is read from a file, since arguments are seen by other users of the machine.

    Raises BadInputError without a name, a valid key or its scope.
    """
    from monitor.http.access import Scope, holder  # noqa: PLC0415 -- loads FastAPI

    if keys_file is None:
        if not by or not by.strip():
            raise BadInputError("say who you are", "--by")
        return by
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
    return found.signs(by)
