"""Images of a row, kept by what is in them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Any

from candor_guard.errors import BadInputError
from candor_guard.files import file_sha256
from candor_guard.rows.row import IMAGE_COLUMNS


def hashed(
    columns: dict[str, Any], where: str, folder: Path | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The columns with the bytes of images as bytes, and the SHA-256 of each image in order.

    An image is bytes, an object with `bytes` (as `datasets` keeps it; base64 in JSON) or `path`,
    or a path. The file is read where it lies under `folder`; else the name is what counts.
    """
    names = sorted(IMAGE_COLUMNS & columns.keys())
    if not names:
        return columns, ()
    found: list[str] = []
    made = dict(columns)
    for name in names:
        value = columns[name]
        items = value if isinstance(value, list) else [value]
        images = [_with_bytes(item, where) for item in items]
        found += [_digest(image, folder, where) for image in images]
        made[name] = images if isinstance(value, list) else images[0]
    return made, tuple(found)


def _with_bytes(image: Any, where: str) -> Any:
    if isinstance(image, dict) and isinstance(image.get("bytes"), str):
        try:
            return {**image, "bytes": base64.b64decode(image["bytes"], validate=True)}
        except binascii.Error as error:
            raise BadInputError("an image's `bytes` are not base64", where) from error
    return image


def _digest(image: Any, folder: Path | None, where: str) -> str:
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if not isinstance(image, str):
        raise BadInputError("an image is a path, or an object with `bytes` or `path`", where)
    path = None if folder is None else folder / image
    try:
        if path is not None and path.is_file():
            return file_sha256(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"an image cannot be read: {error}", where) from error
    return f"named:{image}"
