"""Certificates that no careful client trusts, for the fault that breaks TLS."""

import datetime
import functools
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YEARS = {"expired": (2001, 2002), "wrong-name": (2020, 2120)}
WRONG_NAME = "somebody-else.invalid"


@functools.cache  # the same fault, set again, is the same
def broken_certificate(how: Literal["expired", "wrong-name"]) -> tuple[str, str]:
    """A self-signed certificate, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, WRONG_NAME)])
    begin, end = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in _YEARS[how])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
