"""Dovecot beside the primary, read by Python's imaplib and poplib.

::

    client ──> mx1 ──> Maildir <── imap (Dovecot) <── imaplib, poplib, on 127.0.0.1
"""

import asyncio
import email
import imaplib
import os
import poplib
import socket
import ssl
from collections.abc import AsyncIterator
from email.policy import default

import pytest
import pytest_asyncio

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend, DockerLab, imap
from mxlab.errors import NodeFailed
from mxlab.history.evidence import collect
from mxlab.model.topology import Exchange, Topology
from mxlab_services.control.requests import MailboxList, MailboxRead, Submit
from mxlab_services.events import MailboxDelivered

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

LAB = f"imap-{os.getpid()}"
PASSWORD = "mxlab"
SECONDS = 20  # for a mail program to be answered


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="lab")
async def _lab() -> AsyncIterator[DockerLab]:
    order = Order(LAB, "r1", Topology(imap=True), publish=True)
    async with DockerBackend().deploy(order, quiet) as lab:
        yield lab


async def delivered(lab: DockerLab, to: str, subject: str = "hello", size: int = 0) -> str:
    """Hand a message in, and wait until it lies in the mailbox; returns its Message-ID."""
    (sent,) = await lab.nodes["client"].request(
        Submit("alice@client.test", [to], subject=subject, size=size)
    )
    async with asyncio.timeout(SECONDS):
        waiting = [asyncio.create_task(_arrival(lab, mx, sent.message)) for mx in ("mx1", "mx2")]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return sent.message


async def _arrival(lab: DockerLab, node: str, message: str) -> None:
    async for event in lab.nodes[node].events():
        if isinstance(event.body, MailboxDelivered) and event.message == message:
            return


async def opened(lab: DockerLab, user: str, name: str = "imap") -> imaplib.IMAP4:
    """Logged in, with the inbox selected."""
    reader = imaplib.IMAP4(*(await lab.imap[name].published())["imap"], timeout=SECONDS)
    reader.login(user, PASSWORD)
    reader.select()
    return reader


async def fetched(lab: DockerLab, user: str) -> poplib.POP3:
    reader = poplib.POP3(*(await lab.imap["imap"].published())["pop3"], timeout=SECONDS)
    reader.user(user)
    reader.pass_(PASSWORD)
    return reader


async def test_imap_shows_what_was_delivered_and_reading_it_changes_nothing(
    lab: DockerLab,
) -> None:
    message = await delivered(lab, "bob@example.test", "Grüße aus Zürich")
    (before,) = await lab.nodes["mx1"].request(MailboxList("bob@example.test"))
    reader = await opened(lab, "bob@example.test")
    assert b"INBOX" in b" ".join(line for line in reader.list()[1] if isinstance(line, bytes))
    found = reader.fetch("1", "(FLAGS BODY[])")[1][0]
    assert isinstance(found, tuple)
    read = email.message_from_bytes(found[1], policy=default)
    assert read["Message-ID"] == message
    assert read["Subject"] == "Grüße aus Zürich"
    assert reader.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Seen \\Recent))"]
    reader.store("1", "+FLAGS", "(\\Answered \\Flagged)")
    reader.logout()
    (after,) = await lab.nodes["mx1"].request(MailboxList("bob@example.test"))
    assert after.name == f"{before.name}:2,FRS"
    assert (after.message, after.digest) == (before.message, before.digest)
    content = await lab.nodes["mx1"].request(MailboxRead("bob@example.test", before.name))
    assert content == found[1]


async def test_a_large_message_arrives_whole(lab: DockerLab) -> None:
    await delivered(lab, "large@example.test", size=3_000_000)
    (entry,) = await lab.nodes["mx1"].request(MailboxList("large@example.test"))
    reader = await opened(lab, "large@example.test")
    found = reader.fetch("1", "(BODY.PEEK[])")[1][0]
    assert isinstance(found, tuple)
    assert len(found[1]) == entry.size > 3_000_000
    reader.logout()


async def test_pop3_lists_fetches_and_deletes_and_the_evidence_says_so(lab: DockerLab) -> None:
    first = await delivered(lab, "carol@example.test", "first")
    await delivered(lab, "carol@example.test", "second")
    reader = await fetched(lab, "carol")  # of the lab's domain
    assert reader.stat()[0] == 2
    assert f"Message-ID: {first}".encode() in reader.retr(1)[1]
    reader.dele(1)
    reader.quit()
    assert len(await lab.nodes["mx1"].request(MailboxList("carol@example.test"))) == 1
    (gone,) = (one for one in (await collect(lab, ())).expunged if one.mailbox[0] == "c")
    assert (gone.node, gone.mailbox, gone.message) == ("mx1", "carol@example.test", first)
    assert gone.protocol == "pop3"


async def test_what_is_moved_away_or_put_there_is_told_from_what_was_delivered(
    lab: DockerLab,
) -> None:
    message = await delivered(lab, "dave@example.test")
    reader = await opened(lab, "dave@example.test")
    reader.append("INBOX", "", "", b"Message-ID: <own@example.test>\r\nSubject: x\r\n\r\nown\r\n")
    assert reader.uid("MOVE", "1", "Trash")[0] == "OK"
    reader.logout()
    evidence = await collect(lab, ())
    (left,) = (e for e in evidence.mailboxes["mx1"] if e.address == "dave@example.test")
    assert left.message == "<own@example.test>"
    (gone,) = (one for one in evidence.expunged if one.mailbox == "dave@example.test")
    assert (gone.message, gone.protocol) == (message, "imap")


async def test_the_wrong_password_is_refused(lab: DockerLab) -> None:
    places = await lab.imap["imap"].published()
    reader = imaplib.IMAP4(*places["imap"], timeout=SECONDS)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        reader.login("bob@example.test", "secret")
    reader.logout()
    fetcher = poplib.POP3(*places["pop3"], timeout=SECONDS)
    fetcher.user("bob@example.test")
    with pytest.raises(poplib.error_proto, match="AUTH"):
        fetcher.pass_("secret")
    fetcher.quit()


@pytest.mark.parametrize(
    "user", ["a/b@example.test", "o'neil+tag@example.test", "jörg@example.test"]
)
async def test_every_address_finds_its_own_folder(lab: DockerLab, user: str) -> None:
    await delivered(lab, user)
    reader = imaplib.IMAP4(*(await lab.imap["imap"].published())["imap"], timeout=SECONDS)
    reader.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
    assert reader.select()[1] == [b"1"]
    reader.logout()


async def test_mail_is_delivered_while_dovecot_is_down(lab: DockerLab) -> None:
    server = lab.imap["imap"]
    await server.kill()
    assert await server.state() == "stopped"
    await delivered(lab, "erin@example.test")
    await server.start()
    reader = await opened(lab, "erin@example.test")
    assert reader.select()[1] == [b"1"]
    reader.logout()


async def test_another_process_finds_it_by_its_labels(lab: DockerLab) -> None:
    async with DockerBackend().attach(LAB) as found:
        assert list(found.nodes) == ["dns", "mx1", "mx2", "client"]
        (server,) = found.imap.values()
        assert (server.name, server.primary) == ("imap", "mx1")
        assert await server.published() == await lab.imap["imap"].published()


async def test_two_primaries_have_one_each_with_certificates_of_the_labs_own() -> None:
    equal = (Exchange("mx1", 10), Exchange("mx2", 10))
    order = Order(f"{LAB}-2", "r2", Topology(imap=True, tls=True, mx=equal), publish=True)
    async with DockerBackend().deploy(order, quiet) as lab:
        assert {name: one.primary for name, one in lab.imap.items()} == {
            "imap-mx1": "mx1", "imap-mx2": "mx2",
        }  # fmt: skip
        await delivered(lab, "bob@example.test")
        counts = []
        for name, plan in zip(lab.imap, lab.plan.imap, strict=True):
            assert plan.tls is not None
            trusting = ssl.create_default_context(cadata=plan.tls.ca)
            _, port = (await lab.imap[name].published())["imaps"]
            reader = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting, timeout=SECONDS)
            reader.login("bob@example.test", PASSWORD)
            counts.append(reader.select()[1])
            reader.logout()
            _, port = (await lab.imap[name].published())["pop3"]
            fetcher = poplib.POP3("127.0.0.1", port, timeout=SECONDS)
            fetcher.stls(trusting)
            fetcher.quit()
        assert sorted(counts) == [[b"0"], [b"1"]]


async def test_one_that_does_not_start_shows_its_last_lines_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imap, "_environment", lambda wanted: {"MXLAB_DOMAIN": "x\nno = setting"})
    backend, name = DockerBackend(), f"{LAB}-3"
    with pytest.raises(NodeFailed, match=r"(?s)imap died while starting.*Unknown setting: no"):
        async with backend.deploy(Order(name, "r3", Topology(imap=True)), quiet):
            raise AssertionError("it came up")
    assert name not in {found.lab for found in await backend.find()}


async def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(imap, "free_port", lambda: port)
        order = Order(f"{LAB}-4", "r4", Topology(imap=True), publish=True)
        with pytest.raises(NodeFailed, match=str(port)) as error:
            async with DockerBackend().deploy(order, quiet):
                raise AssertionError("it came up")
    assert "another program took that port" in error.value.hint
