"""Signed weights: the files, the decision and the rows that a signature binds together."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from gate_values import ASSISTANT, context, report, row
from securesystemslib.dsse import Envelope

from candor_guard import attest
from candor_guard.decision import public_key, signed_statement
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.stamp import STAMP, Stamp, write_stamp
from evidence import MisconfiguredError
from monitor.cli import main
from retrain import model_signature
from retrain.gate import decide, override
from retrain.model_signature import MODEL_SIGNATURE, sign_model, verify_model
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign, signed_envelope
from retrain.weights import SIGNED_WEIGHTS, WeightsPredicate, sign_weights, verify_weights

NOW = 1_000_000.0
ROWS = [row(i) for i in range(4)]


class Release:
    """A stamped folder of two files of weights, and the keys of who released it."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model"
        self.model.mkdir()
        for number in (1, 2):
            (self.model / f"model-{number}.safetensors").write_bytes(bytes([number]) * 64)
        (self.model / "config.json").write_text("{}")
        self.private, self.key = generate_keypair(folder / "gate.pem")
        self.signer, self.signed_by = generate_keypair(folder / "release.pem")
        self.curve, self.curve_public = curve_keys(folder / "curve")
        self.decision = decide(
            ROWS, context(4, at_s=NOW, confirm=report(ROWS, at_s=NOW)), Policy(), now_s=NOW
        )
        self.stamp(self.decision)

    def stamp(self, decision: Any) -> None:
        envelope = sign(decision, self.private)
        stamp = Stamp(
            decision_id=decision.decision_id,
            assistant=ASSISTANT,
            subject_digest=decision.subject_digest or "",
            key_id=public_key(self.key).keyid,
            overridden=decision.override is not None,
            envelope=envelope,
            rows=4,
            released_rows=4,
            steps=2,
            not_checked=("revocation",),
            stamped_at_s=NOW,
        )
        write_stamp(self.model, stamp)

    def attested(self) -> Any:
        return attest(self.model, self.key)

    def sign(self, predicate: WeightsPredicate = WeightsPredicate.WEIGHTS) -> dict[str, Any]:
        path = sign_weights(
            self.model, self.attested(), self.signer, predicate=predicate, now_s=NOW + 60
        )
        return signed_statement(path.read_bytes(), public_key(self.signed_by))

    def change(self) -> None:
        (self.model / "model-2.safetensors").write_bytes(b"other")

    def stamp_again(self) -> None:
        """As who can write into the folder would, after a change."""
        self.stamp(self.decision)


def curve_keys(path: Path, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = path.with_suffix(".pem"), path.with_suffix(".pub")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: Any) -> int:
        monkeypatch.setattr(sys, "argv", ["candor", "gate", "attest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def test_the_statement_names_files_decision_rows_and_base_model(release: Release) -> None:
    stated = release.sign()
    found = release.attested()
    assert {one["name"]: one["digest"]["sha256"] for one in stated["subject"]} == (
        found.stamp.weights
    )
    predicate = stated["predicate"]
    assert predicate["decision"]["id"] == release.decision.decision_id
    assert predicate["rows"]["digest"]["sha256"] == release.decision.subject_digest
    assert predicate["base_model"] == list(found.decision.models)
    assert verify_weights(release.model, found, release.signed_by) is WeightsPredicate.WEIGHTS


def test_slsas_summary_passes_what_the_gate_released(release: Release) -> None:
    predicate = release.sign(WeightsPredicate.VSA)["predicate"]
    assert (predicate["verificationResult"], predicate["timeVerified"]) == (
        "PASSED",
        "1970-01-12T13:47:40Z",
    )
    assert predicate["policy"]["digest"]["sha256"] == release.decision.policy_digest
    found = release.attested()
    assert verify_weights(release.model, found, release.signed_by) is WeightsPredicate.VSA


def test_slsas_summary_of_an_override_is_failed(release: Release) -> None:
    blocked = decide(ROWS, context(4, at_s=NOW), Policy(), now_s=NOW)
    given = override(
        blocked, by="ana", requested_by="bo", reason="r", until_s=NOW + 3600, now_s=NOW
    )
    release.stamp(given)
    predicate = release.sign(WeightsPredicate.VSA)["predicate"]
    assert (predicate["verificationResult"], predicate["verifiedLevels"]) == ("FAILED", ["FAILED"])


def test_weights_that_were_changed_and_stamped_again_are_not_those_that_were_signed(
    release: Release,
) -> None:
    release.sign()
    release.change()
    with pytest.raises(RefusedError, match="other_weights"):
        release.attested()
    release.stamp_again()
    with pytest.raises(RefusedError, match="other_weights"):
        verify_weights(release.model, release.attested(), release.signed_by)


def test_a_signature_of_another_decision_is_none_of_this_one(release: Release) -> None:
    release.sign()
    other = decide(
        ROWS, context(4, at_s=NOW, confirm=report(ROWS, at_s=NOW)), Policy(), now_s=NOW - 5
    )
    release.stamp(other)
    with pytest.raises(RefusedError, match="another decision"):
        verify_weights(release.model, release.attested(), release.signed_by)


def test_another_key_no_signature_and_no_statement_are_refused(
    release: Release, tmp_path: Path
) -> None:
    found = release.attested()
    with pytest.raises(RefusedError, match="no_signature"):
        verify_weights(release.model, found, release.signed_by)
    stated = release.sign()
    with pytest.raises(RefusedError, match="bad_signature"):
        verify_weights(release.model, found, release.key)
    path = release.model / SIGNED_WEIGHTS
    for change, code in (
        ({"predicateType": "urn:other"}, "malformed"),
        ({"predicate": {}}, "malformed"),
        ({"predicate": {"timeVerified": "2999-01-01T00:00:00Z"}}, "not_yet_valid"),
        ({"subject": []}, "other_weights"),
    ):
        path.write_text(signed_envelope({**stated, **change}, release.signer))
        with pytest.raises(RefusedError, match=code):
            verify_weights(release.model, found, release.signed_by)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_a_model_signature_is_verified_by_any_verifier_of_its_format(
    curve: ec.EllipticCurve, release: Release, tmp_path: Path
) -> None:
    import model_signing.verifying  # noqa: PLC0415

    release.sign()
    private, public = curve_keys(tmp_path / "other", curve)
    path = sign_model(release.model, private)
    verify_model(release.model, release.attested().stamp.weights, public)
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(
        release.model, path
    )
    named = json.loads(Envelope.from_dict(json.loads(path.read_bytes())["dsseEnvelope"]).payload)
    assert named["predicateType"] == "https://model_signing/signature/v1.0"
    assert {one["name"] for one in named["predicate"]["resources"]} == {
        "model-1.safetensors", "model-2.safetensors", "config.json", STAMP,
    }  # fmt: skip
    with pytest.raises(RefusedError, match="bad_signature"):
        verify_model(release.model, {}, release.curve_public)


@pytest.mark.parametrize("change", ["weights", "config", "more", "less", "stamp"])
def test_any_other_file_under_a_model_signature_is_refused(change: str, release: Release) -> None:
    sign_model(release.model, release.curve)
    weights = release.attested().stamp.weights
    if change == "weights":
        release.change()
    elif change == "config":
        (release.model / "config.json").write_text('{"a": 1}')
    elif change == "more":
        (release.model / "more.safetensors").write_bytes(b"x")
    elif change == "less":
        (release.model / "model-1.safetensors").unlink()
    else:
        (release.model / STAMP).write_text("{}")
    with pytest.raises(RefusedError, match="other_weights"):
        verify_model(release.model, weights, release.curve_public)


def test_a_signature_that_leaves_weights_out_is_refused(release: Release) -> None:
    import model_signing  # noqa: PLC0415
    import model_signing.signing  # noqa: PLC0415

    left_out = model_signing.hashing.Config().set_ignored_paths(
        paths=[release.model / "model-2.safetensors", release.model / MODEL_SIGNATURE]
    )
    signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=release.curve)
    signer.set_hashing_config(left_out).sign(release.model, release.model / MODEL_SIGNATURE)
    with pytest.raises(RefusedError, match=r"left out of the signature: model-2\.safetensors"):
        verify_model(release.model, release.attested().stamp.weights, release.curve_public)


def test_what_cannot_be_signed_or_read_is_named(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MisconfiguredError, match="elliptic curve"):
        sign_model(release.model, curve_keys(release.model.parent / "k1", ec.SECP256K1())[0])
    (release.model / "link.safetensors").symlink_to(release.model / "config.json")
    with pytest.raises(BadInputError, match="cannot be signed"):
        sign_model(release.model, release.curve)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(MisconfiguredError, match=r"candor-monitor\[signing\]"):
        model_signature.sign_model(release.model, release.curve)


@pytest.mark.parametrize("form", ["dsse", "vsa", "oms"])
def test_the_command_signs_and_verifies(
    form: str,
    release: Release,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    private, public = (
        (release.curve, release.curve_public)
        if form == "oms"
        else (release.signer, release.signed_by)
    )
    asked = (release.model, "--key", release.key)
    predicate = ("--predicate", "vsa") if form == "vsa" else ()
    assert command(*asked, "--signed-by", public) == 13
    assert "no_signature" in capsys.readouterr().err
    assert command(*asked, "--sign", private, *predicate) == 0
    capsys.readouterr()
    assert command(*asked, "--signed-by", public, "--json") == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (
        told["signature"]
        == {
            "dsse": "urn:candor:weights:v1",
            "vsa": "https://slsa.dev/verification_summary/v1",
            "oms": "https://model_signing/signature/v1.0",
        }[form]
    )
    revoked = release.model.parent / "revoked.json"
    revoked.write_text(json.dumps([release.decision.decision_id]))
    assert command(*asked, "--signed-by", public, "--revoked", revoked) == 14
    release.change()
    assert command(*asked, "--signed-by", public) == 2
    release.stamp_again()
    assert command(*asked, "--signed-by", public) == 2
    assert command(*asked, "--sign", private, "--signed-by", release.model / "none.pub") == 2


def test_the_command_refuses_a_predicate_that_a_format_has_not(
    release: Release, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (release.model, "--key", release.key, "--sign", release.curve, "--predicate", "vsa")
    assert command(*asked) == 2
    assert "--predicate" in capsys.readouterr().err
