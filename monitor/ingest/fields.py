"""Every wrong field of a record at once, for who can mend it."""

from __future__ import annotations

import msgspec

from monitor.ingest.decode import reason_of
from monitor.ingest.otlp import is_otlp
from monitor.ingest.records import DeadLetterReason, Refused
from monitor.ingest.text import parse_json


def wrong_fields(raw: bytes, kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """(field, what is wrong) of each field that `kind` does not take; empty where it takes them all.

    Where decoding stops at the first, as it does for a dead letter, a sender would mend one field a try.
    """
    try:
        record = parse_json(raw)
    except Refused:
        return []
    if is_otlp(record):
        return []
    found = []
    for field in msgspec.structs.fields(kind):
        if field.name not in record:
            if field.required:
                found.append((field.name, f"{DeadLetterReason.MISSING_FIELD.value}: required"))
            continue
        try:
            msgspec.convert(record[field.name], field.type)
        except msgspec.ValidationError as error:
            found.append((field.name, f"{reason_of(str(error)).value}: {error}"))
    if not {"user_id", "rater"} & record.keys():
        found.append(("user_id", f"{DeadLetterReason.MISSING_FIELD.value}: required"))
    return found
