"""A certificate authority for a broker on loopback, and who may enter."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SASL_USER, SASL_PASSWORD = "candor", "hush-hush-9f2c"


class RunningKafka(NamedTuple):
    """Bootstrap servers of both listeners, and the authority of the one with TLS."""

    plain: str
    secured: str
    ca_file: Path


def make_certificates(folder: Path, name: str = "ca") -> Path:
    """Write `server.pem` (key and certificate of 127.0.0.1) and the authority's PEM; returns the latter."""
    now = datetime.datetime.now(datetime.UTC)
    authority, server = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Candor's tests")])

    def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        made = builder.sign(authority, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    key = server.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    (folder / "server.pem").write_bytes(key + signed(subject, server, ca=False))
    ca_file = folder / f"{name}.pem"
    ca_file.write_bytes(signed(issuer, authority, ca=True))
    return ca_file
