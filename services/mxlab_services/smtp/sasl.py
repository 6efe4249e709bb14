"""What both sides of SASL have: strings prepared (RFC 4013), base64, the keys of SCRAM (RFC 5802).

Pure.
"""

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from collections.abc import Callable

from msgspec import Struct

MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")  # the best first
ITERATIONS = 4096  # RFC 7677 §4 asks for no fewer
LONGEST = 255  # characters of a name or a password
_B64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(text: str) -> str:
    """SASLprep (RFC 4013), by the tables of RFC 3454. Raises ValueError for what it prohibits, and
    for the empty string, which no name and no password may be."""
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    done = unicodedata.normalize("NFKC", mapped)
    if not done:
        raise ValueError("is empty")
    if len(done) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    for char in done:
        if any(prohibits(char) for prohibits in _PROHIBITED) or stringprep.in_table_a1(char):
            raise ValueError(f"has U+{ord(char):04X}, which SASLprep prohibits (RFC 4013)")
    if any(map(stringprep.in_table_d1, done)) and (
        any(map(stringprep.in_table_d2, done))
        or not (stringprep.in_table_d1(done[0]) and stringprep.in_table_d1(done[-1]))
    ):
        raise ValueError("mixes directions of writing (RFC 3454 section 6)")
    return done


def decoded(text: bytes) -> bytes | None:
    """What stands in base64 (RFC 4648 §4, strictly, as RFC 4954 §4 asks); None if nothing does."""
    try:
        return (
            base64.b64decode(text, validate=True) if _B64.fullmatch(text.decode("ascii")) else None
        )
    except (binascii.Error, UnicodeDecodeError):
        return None


def encoded(data: bytes) -> str:
    """`data` in base64."""
    return base64.b64encode(data).decode()


class ScramKeys(Struct, frozen=True):
    """What a server keeps for SCRAM (RFC 5802 §3)."""

    salt: bytes
    iterations: int
    stored: bytes
    server: bytes


def salted(password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword (RFC 5802 §3) of a prepared password: what all keys are made of."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def keys_of(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """The keys of a prepared password."""
    secret = salted(password, salt, iterations)
    client, server = mac(secret, b"Client Key"), mac(secret, b"Server Key")
    return ScramKeys(salt, iterations, hashlib.sha256(client).digest(), server)


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC with SHA-256."""
    return hmac.digest(key, message, "sha256")
