"""The SASL mechanisms by their RFCs' own examples, and what no client should get through."""

import base64
import random

import pytest

from mxlab_services.smtp import sasl
from mxlab_services.smtp.server import auth
from mxlab_services.smtp.server.auth import Challenge, Denied, Granted, Users


def users(**more: str) -> Users:
    return Users({"alice": "wonderland", **more}, random.Random(1))


# RFC 7677 section 3
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO" + NONCE.encode() + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class OfTheRfc(Users):
    """The user of RFC 7677's example, with its salt."""

    def __init__(self) -> None:
        super().__init__({"user": "pencil"}, random.Random(1))

    def keys(self, user: str) -> sasl.ScramKeys:
        return sasl.keys_of("pencil", SALT)


def test_scram_says_what_the_rfc_says() -> None:
    scram = auth.Scram(OfTheRfc(), NONCE)
    assert scram.step(None) == Challenge()
    assert scram.step(CLIENT_FIRST) == Challenge(SERVER_FIRST)
    assert scram.step(CLIENT_FINAL) == Challenge(SERVER_FINAL)
    assert scram.step(b"") == Granted("user")


@pytest.mark.parametrize(
    ("final", "malformed"),
    [
        (CLIENT_FINAL.replace(b"p=dH", b"p=eH"), False),
        (CLIENT_FINAL.replace(b"c=biws", b"c=eSws"), False),
        (CLIENT_FINAL.replace(b"k0,", b"k1,"), False),
        (CLIENT_FINAL[:-4], True),
        (b"", True),
        (b"\xff\xfe", True),
    ],
)
def test_scram_refuses_what_proves_nothing(final: bytes, malformed: bool) -> None:
    scram = auth.Scram(OfTheRfc(), NONCE)
    scram.step(CLIENT_FIRST)
    assert scram.step(final) == Denied(malformed=malformed)


@pytest.mark.parametrize(
    "first",
    [b"", b"n,,n=user", b"n,,r=x,n=user", b"p=tls-exporter,,n=user,r=abc", b"n,,n=user,r=a b"],
)
def test_scram_wants_a_first_message_without_channel_binding(first: bytes) -> None:
    assert auth.Scram(OfTheRfc(), NONCE).step(first) == Denied(malformed=True)


def test_scram_tells_no_stranger_that_it_is_one() -> None:
    known = users()
    challenges = []
    for name in (b"nobody", b"nobody", b"alice"):
        first = auth.Scram(known, "N").step(b"n,,n=" + name + b",r=abc")
        assert isinstance(first, Challenge)
        challenges.append(first.data)
    assert challenges[0] == challenges[1] != challenges[2]
    assert {len(one) for one in challenges} == {len(challenges[0])}


def test_plain_grants_the_right_password_only() -> None:
    for said, outcome in {
        b"\0alice\0wonderland": Granted("alice"),
        b"alice\0alice\0wonderland": Granted("alice"),
        b"bob\0alice\0wonderland": Denied(),
        b"\0alice\0wonderlan": Denied(),
        b"\0bob\0wonderland": Denied(),
        b"\0bob\0": Denied(malformed=True),
        b"\0\0wonderland": Denied(malformed=True),
        b"alice wonderland": Denied(malformed=True),
        b"\0alice\0wonder\0land": Denied(malformed=True),
        b"\0alice\0\xff": Denied(),
    }.items():
        assert auth.Plain(users()).step(said) == outcome, said


def test_login_asks_twice() -> None:
    for initial in (False, True):
        login = auth.Login(users())
        if not initial:
            assert login.step(None) == Challenge(b"Username:")
        assert login.step(b"alice") == Challenge(b"Password:")
        assert login.step(b"wonderland") == Granted("alice")


def test_names_and_passwords_are_prepared() -> None:
    """The examples of RFC 4013 section 3, and RFC 5802's escapes."""
    assert sasl.prepared("I\u00adX") == "IX"
    assert sasl.prepared("user") == "user"
    assert sasl.prepared("\u00aa") == "a"
    assert sasl.prepared("\u2168") == "IX"
    assert sasl.prepared("a\u00a0b") == "a b"
    for wrong in ("\x07", "\u0627\x31", "", "\u00ad", "a\ufffd", "x" * 256, "\u0221"):
        with pytest.raises(ValueError, match=r"^(is|has|mixes) "):
            sasl.prepared(wrong)
    named = users(**{"a,b=c": "x"})
    first = auth.Scram(named, "N").step(b"n,,n=a=2Cb=3Dc,r=abc")
    assert isinstance(first, Challenge)
    assert auth.Plain(users(IX="pass\u00aa")).step(b"\0I\xc2\xadX\0passa") == Granted("IX")


def test_base64_is_taken_by_the_letter() -> None:
    assert sasl.decoded(b"") == b""
    assert sasl.decoded(b"AGE=") == b"\0a"
    for wrong in (b"AGE", b"A GE=", b"====", b"AGE=\n", b"\xff", b"AGE=AGE=", b"="):
        assert sasl.decoded(wrong) is None, wrong
