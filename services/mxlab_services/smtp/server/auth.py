"""The SASL mechanisms of submission: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677).

Guarantee: what a client says of itself is an outcome, never an exception; no outcome names a
password, and of a name that there is not and a password that is wrong the client hears the same.
SCRAM-SHA-256-PLUS is not offered: Python's TLS has no channel binding that RFC 9266 would take.
Pure but for the time that a key costs, once a name.
"""

import hashlib
import hmac
import random
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from mxlab_services.smtp.sasl import (
    ITERATIONS,
    ScramKeys,
    decoded,
    encoded,
    keys_of,
    mac,
    prepared,
)

_SALT = 16  # bytes
_NONCE = re.compile(r"[!-+\--~]{1,512}")  # printable, no comma (RFC 5802 §7)


class Challenge(Struct, frozen=True):
    """What the server says next; the client is to respond."""

    data: bytes = b""


class Granted(Struct, frozen=True):
    """The client is who it says."""

    user: str


class Denied(Struct, frozen=True):
    """A wrong name or password; `malformed`: the response was none of this mechanism."""

    malformed: bool = False


SaslOutcome = Challenge | Granted | Denied
MALFORMED = Denied(malformed=True)


class SaslExchange(Protocol):
    """One authentication. The first `step` gets the initial response, None where there is none."""

    def step(self, response: bytes | None) -> SaslOutcome: ...


class Users:
    """Who may submit: names and passwords, and the keys made of them. `chance` gives salts and
    nonces; a name that there is not has a salt too, always the same (RFC 5802 §5.1)."""

    def __init__(self, passwords: Mapping[str, str], chance: random.Random) -> None:
        """Raises ValueError where SASLprep prohibits a name or a password."""
        self._passwords = {prepared(name): prepared(word) for name, word in passwords.items()}
        self._chance = chance
        self._secret = chance.randbytes(32)
        self._keys: dict[str, ScramKeys] = {}

    def check(self, name: str, password: str) -> SaslOutcome:
        """Whether that is the password of `name`, both as the client gave them."""
        try:
            user, word = prepared(name), prepared(password)
        except ValueError:
            return Denied()
        kept = self._passwords.get(user)
        same = hmac.compare_digest((kept or "").encode(), word.encode())
        return Granted(user) if kept is not None and same else Denied()

    def keys(self, user: str) -> ScramKeys:
        """The keys of a prepared name."""
        salt = mac(self._secret, user.encode())[:_SALT]
        if user not in self._passwords:
            return ScramKeys(salt, ITERATIONS, mac(self._secret, b"nobody"), self._secret)
        if user not in self._keys:
            self._keys[user] = keys_of(self._passwords[user], salt)
        return self._keys[user]

    def nonce(self) -> str:
        return encoded(self._chance.randbytes(18))


class Plain:
    """PLAIN: an identity to act as (only one's own), the name and the password, NULs between."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def step(self, response: bytes | None) -> SaslOutcome:
        if response is None:
            return Challenge()
        parts = _text(response).split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            return MALFORMED
        acts_as, name, password = parts
        outcome = self._users.check(name, password)
        if isinstance(outcome, Granted) and acts_as and _prepared(acts_as) != outcome.user:
            return Denied()
        return outcome


class Login:
    """LOGIN, never a standard: asks for the name and then for the password."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._name: str | None = None

    def step(self, response: bytes | None) -> SaslOutcome:
        if response is None:
            return Challenge(b"Username:")
        if self._name is None:
            self._name = _text(response)
            return Challenge(b"Password:")
        return self._users.check(self._name, _text(response))


class Scram:
    """SCRAM-SHA-256: neither side tells the password (RFC 5802 §5)."""

    def __init__(self, users: Users, nonce: str | None = None) -> None:
        self._users = users
        self._nonce = nonce or users.nonce()
        self._user = self._first = self._header = ""
        self._keys: ScramKeys | None = None
        self._proven = False

    def step(self, response: bytes | None) -> SaslOutcome:
        if response is None:
            return Challenge()
        if self._proven:  # the client takes note of the server's own proof with an empty response
            return Granted(self._user) if not response else MALFORMED
        said = _text(response)
        return self._begin(said) if self._keys is None else self._prove(said, self._keys)

    def _begin(self, said: str) -> SaslOutcome:
        """client-first-message: `n,,n=user,r=nonce`."""
        match = re.fullmatch(r"((?:n|y),(?:a=([^,]+))?,)(n=([^,]+),r=([^,]+)(?:,.*)?)", said)
        if match is None or not _NONCE.fullmatch(match[5]):
            return MALFORMED
        self._header, acts_as, bare, name, nonce = match.groups()
        user, other = _prepared(_unescaped(name)), acts_as and _prepared(_unescaped(acts_as))
        if user is None or (acts_as and other != user):
            return Denied()
        self._user, self._nonce = user, nonce + self._nonce
        self._keys = keys = self._users.keys(user)
        first = f"r={self._nonce},s={encoded(keys.salt)},i={keys.iterations}"
        self._first = f"{bare},{first}"
        return Challenge(first.encode())

    def _prove(self, said: str, keys: ScramKeys) -> SaslOutcome:
        """client-final-message: `c=header,r=nonce,p=proof`."""
        match = re.fullmatch(r"(c=([^,]+),r=([^,]+)(?:,.*)?),p=([^,]+)", said)
        proof = decoded(match[4].encode()) if match else None
        if match is None or proof is None or len(proof) != len(keys.stored):
            return MALFORMED
        bound = decoded(match[2].encode()) == self._header.encode()
        message = f"{self._first},{match[1]}".encode()
        signature = mac(keys.stored, message)
        client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        proven = hmac.compare_digest(hashlib.sha256(client).digest(), keys.stored)
        if not (proven and bound and match[3] == self._nonce):
            return Denied()
        self._proven = True
        return Challenge(f"v={encoded(mac(keys.server, message))}".encode())


MECHANISMS: dict[str, Callable[[Users], SaslExchange]] = {
    "SCRAM-SHA-256": Scram,
    "PLAIN": Plain,
    "LOGIN": Login,
}
"""Those of `sasl`, the best first."""


def _text(response: bytes) -> str:
    """As UTF-8; what is none becomes U+FFFD, which SASLprep prohibits."""
    return response.decode("utf-8", "replace")


def _prepared(name: str) -> str | None:
    try:
        return prepared(name)
    except ValueError:
        return None


def _unescaped(name: str) -> str:
    """A saslname (RFC 5802 §7); empty, which nobody is called, where an `=` stands for nothing."""
    if re.search(r"=(?!2C|3D)", name):
        return ""
    return name.replace("=2C", ",").replace("=3D", "=")
