"""Signed weights in the OpenSSF Model Signing format, by a key pair and without any service.

The signature is over every file of the folder, the stamp with its decision among them, so that any verifier of that
format can check the weights, and whoever reads the stamp finds the decision and the rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from candor_guard.errors import BadInputError, RefusedError
from evidence import MisconfiguredError
from retrain.weights import SIGNED_WEIGHTS

MODEL_SIGNATURE = "model.sig"
_IGNORED = (MODEL_SIGNATURE, SIGNED_WEIGHTS)


def sign_model(folder: Path, key_file: Path) -> Path:
    """Sign a folder with a private key on P-256, P-384 or P-521 (PEM); returns the signature's path.

    Raises MisconfiguredError without the library or for another key, BadInputError for a folder that cannot be
    signed, such as one with symbolic links.
    """
    library = _library()
    path = folder / MODEL_SIGNATURE
    try:
        signer = library.signing.Config().use_elliptic_key_signer(private_key=key_file)
    except ValueError as error:
        raise MisconfiguredError(f"no key of an elliptic curve: {error}", str(key_file)) from error
    hashing = library.hashing.Config().set_ignored_paths(
        paths=[folder / name for name in _IGNORED], ignore_git_paths=True
    )
    try:
        signer.set_hashing_config(hashing).sign(folder, path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot be signed: {error}", str(folder)) from error
    return path


def verify_model(folder: Path, weights: Mapping[str, str], key: Path) -> None:
    """Verify a folder's signature. Raises RefusedError, BadInputError for a bad key.

    `weights` are the SHA-256 of the files that must be signed: a signature may leave files out. The code is
    `no_signature`, `bad_signature`, or `other_weights` where a file was changed, added or taken away.
    """
    library = _library()
    path = folder / MODEL_SIGNATURE
    if not path.is_file():
        raise RefusedError("no_signature", "the weights are not signed", str(path))
    try:
        verifier = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except ValueError as error:
        raise BadInputError(f"no key of an elliptic curve: {error}", str(key)) from error
    try:
        verifier.verify(folder, path)
        signed = _signed_digests(path)
    except Exception as error:  # the library raises whatever its parsers do
        if str(error).startswith("Signature mismatch"):
            raise RefusedError(
                "other_weights", f"not what was signed: {error}", str(folder)
            ) from error
        raise RefusedError("bad_signature", "the signature does not verify", str(path)) from error
    left_out = [name for name, digest in weights.items() if signed.get(name) != digest]
    if left_out:
        raise RefusedError(
            "other_weights", f"left out of the signature: {min(left_out)}", str(path)
        )


def _signed_digests(path: Path) -> dict[str, str]:
    """The SHA-256 of each file that a signature names, which was verified before."""
    payload = json.loads(path.read_bytes())["dsseEnvelope"]["payload"]
    resources = json.loads(base64.b64decode(payload))["predicate"]["resources"]
    return {one["name"]: one["digest"] for one in resources if one["algorithm"] == "sha256"}


def _library() -> Any:
    try:
        import model_signing  # noqa: PLC0415 -- of the signing extra
        import model_signing.hashing  # noqa: PLC0415
        import model_signing.signing  # noqa: PLC0415
        import model_signing.verifying  # noqa: PLC0415
    except ImportError as error:
        raise MisconfiguredError(
            "this format needs the extra: pip install 'candor-monitor[signing]'", "model-signing"
        ) from error
    return model_signing
