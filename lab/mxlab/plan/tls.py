"""The lab's own certificate authority, and a certificate for each MTA (RFC 3207 needs one).

Keys live as long as the lab: they are made when its plan is, and are worth nothing outside.
"""

import datetime
import ipaddress
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mxlab_services.config import TlsConfig

# Fixed and wide, because lab time may run years ahead of the host's.
_NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)

_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
    key_encipherment=False, data_encipherment=False, key_agreement=False,
    encipher_only=False, decipher_only=False,
)  # fmt: skip


class Authority:
    """A certificate authority with a fresh key."""

    def __init__(self, lab: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mxlab {lab} CA")])
        self._certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .add_extension(_identifier(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, names: Iterable[str], *addresses: str) -> TlsConfig:
        """A certificate and key for a host of these names and addresses, with the CA's."""
        key = ec.generate_private_key(ec.SECP256R1())
        listed = list(names)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, listed[0])])
        alternatives = x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in listed),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
            ]
        )
        certificate = (
            _builder(subject, self._name, key)
            .add_extension(alternatives, critical=False)
            .add_extension(_identifier(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return TlsConfig(
            certificate=_pem(certificate),
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            ca=_pem(self._certificate),
        )


def _identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    """Python 3.13 verifies by the letter of RFC 5280 (§4.2.1.1, §4.2.1.2), and asks for these."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
