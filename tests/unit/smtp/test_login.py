"""A program logs in where mail is handed in: verified TLS, then AUTH, and no secret told."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from mxlab.plan.tls import Authority
from mxlab_services.config import SubmissionConfig, Timeouts
from mxlab_services.queue.live import LiveConfig
from mxlab_services.smtp import sasl
from mxlab_services.smtp.client import login
from mxlab_services.smtp.client.connect import NoSession, Pool
from mxlab_services.smtp.client.connection import ClientSession
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.client.login import Credentials, ScramClient, SubmissionConnector
from mxlab_services.smtp.server import auth
from tests.support.edge_lab import CONFIG
from tests.support.smtp_sink import Sink
from tests.support.submission_lab import ISSUED, SECRET, Server

NONCE = "rOprNGfwEbeRWgbNEkqO"
NAMES = list(login.CLIENTS)


async def enter(
    given: Credentials, ports: tuple[int, int], ca: str = ISSUED.ca
) -> tuple[ClientSession | NoSession, list[str]]:
    wanted = SubmissionConfig({}, msgspec.structs.replace(ISSUED, ca=ca), *ports)
    live = LiveConfig(
        msgspec.structs.replace(CONFIG, hostname="client.test", timeouts=Timeouts(mail=2.0))
    )
    pool = Pool(live)
    dialog = Dialog()
    opened = await SubmissionConnector(live, pool.leave, wanted, lambda: NONCE).enter(given, dialog)
    if isinstance(opened, ClientSession):
        pool.leave(opened)
    await pool.close()
    return opened, dialog


async def at_the_server(
    given: Credentials, ca: str = ISSUED.ca
) -> tuple[ClientSession | NoSession, list[str]]:
    made = Server(300.0)
    await made.edge.start()
    try:
        ports = [int(place.rpartition(":")[2]) for place in made.edge.addresses]
        return await enter(given, (ports[1], ports[2]), ca)
    finally:
        await made.edge.close()
        assert SECRET not in repr(made.events)


def test_both_sides_have_the_same_mechanisms_the_best_first() -> None:
    assert list(login.CLIENTS) == list(auth.MECHANISMS) == list(sasl.MECHANISMS)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", [None, *NAMES])
async def test_it_logs_in_by_each_and_tells_no_password(
    mechanism: str | None, implicit: bool
) -> None:
    opened, dialog = await at_the_server(Credentials("alice", SECRET, mechanism, implicit))
    assert isinstance(opened, ClientSession)
    said = "\n".join(dialog)
    assert f"C: AUTH {mechanism or 'SCRAM-SHA-256'}" in said
    assert "S: 235 2.7.0 Authentication successful" in said
    assert "certificate verified" in said
    for secret in (
        SECRET,
        sasl.encoded(SECRET.encode()),
        sasl.encoded(f"\0alice\0{SECRET}".encode()),
    ):
        assert secret not in said


@pytest.mark.parametrize("mechanism", NAMES)
async def test_a_wrong_password_is_refused(mechanism: str) -> None:
    opened, dialog = await at_the_server(Credentials("alice", "queen", mechanism))
    assert isinstance(opened, NoSession)
    assert (opened.stage, opened.reply.code, opened.reply.enhanced) == ("auth", 535, "5.7.8")
    assert dialog[-2:] == ["C: QUIT", "S: 221 2.0.0 bye"]


@pytest.mark.parametrize("mechanism", NAMES)
async def test_without_tls_only_the_name_of_the_mechanism_is_told(mechanism: str) -> None:
    opened, dialog = await at_the_server(Credentials("alice", SECRET, mechanism, tls=False))
    assert isinstance(opened, NoSession)
    assert opened.reply.code == 538
    assert f"C: AUTH {mechanism}" in dialog


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_certificate_of_somebody_else_gets_no_password(implicit: bool) -> None:
    other = Authority("other").issue(["client.test"]).ca
    opened, dialog = await at_the_server(Credentials("alice", SECRET, None, implicit), other)
    assert isinstance(opened, NoSession)
    assert opened.reply.code == 0
    assert "certificate" in opened.reply.text
    assert not any("AUTH" in line for line in dialog if line.startswith("C:"))


def context(folder: Path) -> ssl.SSLContext:
    chain = folder / "chain.pem"
    chain.write_text(ISSUED.certificate + ISSUED.key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(chain)
    return made


async def at_a_sink(
    given: Credentials,
    script: Mapping[str, Sequence[str]],
    tls: ssl.SSLContext | None = None,
    extensions: Sequence[str] = ("STARTTLS", "AUTH PLAIN LOGIN SCRAM-SHA-256"),
) -> tuple[ClientSession | NoSession, Sink]:
    sink = Sink(script, extensions=extensions, tls=tls)
    await sink.start("127.0.0.1")
    try:
        opened, _ = await enter(given, (sink.port, sink.port))
    finally:
        await sink.stop()
    return opened, sink


@pytest.mark.parametrize("mechanism", NAMES)
async def test_a_server_that_wants_the_password_in_the_open_does_not_get_it(mechanism: str) -> None:
    script = {"AUTH": ["334 "], "*": ["501 5.7.0 cancelled"]}
    opened, sink = await at_a_sink(Credentials("alice", SECRET, mechanism, tls=False), script)
    assert isinstance(opened, NoSession)
    assert opened.reply.text == f"AUTH {mechanism}: no TLS, so no password"
    told = [line for _, line in sink.lines if not line.startswith(("EHLO", "QUIT"))]
    assert told == [f"AUTH {mechanism}", "*"]


async def test_where_no_tls_is_offered_nothing_is_said() -> None:
    opened, sink = await at_a_sink(Credentials("alice", SECRET), {}, extensions=("AUTH PLAIN",))
    assert isinstance(opened, NoSession)
    assert opened.stage == "starttls"
    assert "no STARTTLS is offered" in opened.reply.text
    assert [line[:4] for _, line in sink.lines] == ["EHLO", "QUIT"]


async def test_a_refusal_of_starttls_is_what_the_server_says() -> None:
    script = {"STARTTLS": ["454 4.7.0 not now"]}
    opened, _ = await at_a_sink(Credentials("alice", SECRET), script)
    assert isinstance(opened, NoSession)
    assert (opened.stage, opened.reply.code) == ("starttls", 454)


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ("???", "no base64"),
        ("bm9uc2Vuc2U=", "that is no challenge of SCRAM"),
        (sasl.encoded(b"r=another,s=c2FsdA==,i=4096"), "that is no challenge of SCRAM"),
        (sasl.encoded(f"r={NONCE}x,s=c2FsdA==,i=0".encode()), "it asks for 0 iterations"),
        (sasl.encoded(f"r={NONCE}x,s=c2FsdA==,i=9999999".encode()), "it asks for 9999999"),
    ],
)
async def test_a_challenge_that_is_none_is_cancelled(
    tmp_path: Path, challenge: str, words: str
) -> None:
    script = {"AUTH": [f"334 {challenge}"], "*": ["501 5.7.0 cancelled"]}
    given = Credentials("alice", SECRET, "SCRAM-SHA-256")
    opened, sink = await at_a_sink(given, script, context(tmp_path))
    assert isinstance(opened, NoSession)
    assert words in opened.reply.text
    assert opened.reply.code == 0
    assert sink.lines[-2][1] == "*"


def test_scram_is_that_of_its_standard() -> None:
    """RFC 7677 §3."""
    client = ScramClient("user", "pencil", NONCE)
    assert client.first() == f"n,,n=user,r={NONCE}".encode()
    both = NONCE + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert client.answer(f"r={both},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()) == (
        f"c=biws,r={both},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    )
    assert client.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    with pytest.raises(ValueError, match="does not know the password"):
        client.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    client = ScramClient("user", "pencil", NONCE)
    client.answer(f"r={NONCE}x,s=c2FsdA==,i=4096".encode())
    with pytest.raises(ValueError, match="does not know the password"):
        client.answer(b"v=c2FsdA==")


def test_names_with_signs_of_scram_are_told_as_they_are_meant() -> None:
    assert ScramClient("a=b,c", "x", "n").first() == b"n,,n=a=3Db=2Cc,r=n"
