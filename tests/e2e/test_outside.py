"""Real programs against the lab: Postfix in each place of the path, swaks and dig as clients.

::

    client ──> mx2 ──> mx1          Postfix (or smtp-sink) in the place of each of them in turn;
    swaks, dig, smtp-source ──>     and other people's programs as the client

A program that is missing skips its tests by name, unless all are required (tests.support.programs).
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mxlab.backends.base import Lab, Order
from mxlab.backends.process import ProcessBackend
from mxlab.model.topology import Topology
from mxlab_services.control import requests as control
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, MailboxRead, Ping, QueueFlush, Submit
from tests.support import programs
from tests.support.postfix import postfix, problem

VERBS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")


def outside(*names: str) -> pytest.MarkDecorator:
    """Skip, by name, where a program is missing or may not run."""
    reason = programs.problem(*names) or problem()
    return pytest.mark.skipif(bool(reason) and not programs.REQUIRED, reason=reason or "-")


def has_tls() -> bool:
    """Whether the Perl module is there that swaks needs for STARTTLS."""
    probe = ["perl", "-MNet::SSLeay", "-e1"]
    return (
        shutil.which("perl") is not None
        and not subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode
    )


pytestmark = outside("smtp-sink", "smtp-source", "swaks", "dig")


@asynccontextmanager
async def lab(name: str, topology: Topology | None = None) -> AsyncIterator[Lab]:
    order = Order(f"outside-{name}-{os.getpid()}", "outside", topology or Topology())
    async with ProcessBackend().deploy(order, lambda _: None) as up:
        yield up


async def run(*command: str, status: int | None = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    text = output.decode()
    assert status is None or process.returncode == status, text
    return text


async def until(lab: Lab, node: str, kind: str, count: int = 1) -> None:
    """Wait for so many events of a kind on a node, since the lab came up."""
    seen = 0
    async with asyncio.timeout(60):
        async for event in lab.nodes[node].events():
            seen += event.kind == kind
            if seen >= count:
                return


async def probe(check: Callable[[], Awaitable[bool] | bool], what: str) -> None:
    """Ask another program again until it says yes: it has no events to wait for."""
    async with asyncio.timeout(60):
        while True:
            answer = check()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(what)


async def box(lab: Lab, node: str = "mx1") -> list[MailboxEntry]:
    return await lab.nodes[node].request(MailboxList())


@asynccontextmanager
async def sink_as_primary(lab: Lab, *behaviour: str) -> AsyncIterator[None]:
    """smtp-sink at mx1's address, behaving so (see its manual)."""
    await lab.nodes["mx1"].kill()
    address = lab.nodes["mx1"].config.address
    sink: asyncio.subprocess.Process | None = None

    async def up() -> bool:
        """Another lab that looks for a free subnet may hold the port for a moment: start again."""
        nonlocal sink
        if sink is None or sink.returncode is not None:
            sink = await asyncio.create_subprocess_exec(
                "smtp-sink", "-u", "nobody", *behaviour, f"{address}:25", "10"
            )
        return await listens(address) and sink.returncode is None

    try:
        await probe(up, "smtp-sink listens")
        yield
    finally:
        if sink is not None and sink.returncode is None:
            sink.terminate()
            await sink.wait()


async def listens(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, 25)
    except OSError:
        return False
    writer.close()
    return True


def beside(lab: Lab, last: int) -> str:
    return lab.nodes["mx1"].config.address.rpartition(".")[0] + f".{last}"


async def submit(lab: Lab, count: int = 1) -> list[str]:
    request = Submit(sender="alice@client.test", recipients=["bob@example.test"], count=count)
    return [sent.message for sent in await lab.nodes["client"].request(request)]


async def test_postfix_sends_to_our_exchanges_by_our_dns() -> None:
    async with lab("sender") as up:
        dns = up.nodes["dns"].config.address
        settings = {"myhostname": "sender.client.test"}
        async with postfix(beside(up, 99), dns, settings) as sender:
            source = ("smtp-source", "-f", "alice@client.test", "-t", "bob@example.test")
            await run(*source, "-m", "5", f"{sender.address}:25")
            await until(up, "mx1", "mailbox.delivered", 5)
            await up.nodes["mx1"].kill()
            await run(*source, "-m", "5", f"{sender.address}:25")
            await until(up, "mx2", "message.accepted", 5)
            await up.nodes["mx1"].start()
            await up.nodes["mx2"].request(QueueFlush())
            await until(up, "mx1", "mailbox.delivered", 10)
        assert len(await box(up)) == 10
        assert (await up.nodes["mx2"].request(Ping())).queued == 0


async def test_postfix_is_the_primary_behind_our_backup() -> None:
    async with lab("primary") as up:
        await up.nodes["mx1"].kill()
        await submit(up, 5)
        await until(up, "mx2", "message.accepted", 5)
        settings = {
            "myhostname": "mx1.example.test",
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_maps": "static:box/",
        }
        address, dns = up.nodes["mx1"].config.address, up.nodes["dns"].config.address
        async with postfix(address, dns, settings) as primary:
            await up.nodes["mx2"].request(QueueFlush())
            await until(up, "mx2", "queue.removed", 5)
            await probe(lambda: len(list(primary.maildirs.rglob("new/*"))) == 5, "5 in Maildir")
            text = next(iter(primary.maildirs.rglob("new/*"))).read_text()
        assert "by mx2.example.test" in text
        assert "by mx1.example.test (Postfix)" in text


async def test_our_primary_stands_behind_a_postfix_backup() -> None:
    async with lab("backup") as up:
        await up.nodes["mx1"].kill()
        await up.nodes["mx2"].kill()
        settings = {
            "myhostname": "mx2.example.test",
            "relay_domains": "example.test",
            "relay_recipient_maps": "",
        }
        address, dns = up.nodes["mx2"].config.address, up.nodes["dns"].config.address
        async with postfix(address, dns, settings) as backup:
            await submit(up, 5)
            await until(up, "client", "queue.removed", 5)
            assert (await backup.command("postqueue", "-j")).count("queue_id") == 5
            await up.nodes["mx1"].start()
            await backup.command("postqueue", "-f")
            await until(up, "mx1", "mailbox.delivered", 5)
        first = (await box(up))[0]
        text = (await up.nodes["mx1"].request(MailboxRead(first.address, first.name))).decode()
        assert "by mx2.example.test (Postfix)" in text
        assert "by mx1.example.test" in text


@pytest.mark.parametrize("verb", VERBS)
async def test_a_primary_that_says_4yz_at_a_verb_is_followed_by_the_backup(verb: str) -> None:
    async with lab("soft") as up:
        async with sink_as_primary(up, "-r", verb):
            await submit(up)
            await until(up, "mx2", "message.accepted")
            await until(up, "client", "queue.removed")
        assert (await up.nodes["client"].request(Ping())).queued == 0


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
async def test_a_primary_that_says_5yz_at_a_verb_makes_a_bounce(verb: str) -> None:
    async with lab("hard") as up:
        async with sink_as_primary(up, "-f", verb):
            await submit(up)
            await until(up, "client", "mailbox.delivered")
        (bounce,) = await box(up, "client")
        assert bounce.address == "alice@client.test"
        assert bounce.reverse_path == ""
        assert (await up.nodes["mx2"].request(Ping())).queued == 0


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
async def test_a_primary_that_hangs_up_at_a_verb_is_followed_by_the_backup(verb: str) -> None:
    async with lab("cut") as up, sink_as_primary(up, "-q", verb):
        await submit(up)
        await until(up, "mx2", "message.accepted")


async def test_a_reply_lost_after_the_dot_is_unknown_and_tried_again() -> None:
    async with lab("unknown") as up:
        async with sink_as_primary(up, "-q", "."):
            await submit(up)
            await until(up, "client", "queue.deferred")
        (entry,) = await up.nodes["client"].request(control.RecordRead())
        assert entry.outcome == "unknown"
        await up.nodes["mx1"].start()
        await up.nodes["client"].request(QueueFlush())
        await until(up, "mx1", "mailbox.delivered")


async def test_swaks_delivers_and_is_refused_relaying() -> None:
    async with lab("swaks") as up:
        server = up.nodes["mx1"].config.address
        await run(
            "swaks", "--to", "bob@example.test", "--from", "a@client.test", "--server", server
        )
        await until(up, "mx1", "mailbox.delivered")
        refused = await run(
            "swaks", "--to", "x@elsewhere.test", "--server", server, "--quit-after", "RCPT",
            status=None,
        )  # fmt: skip
        assert "550 5.7.1" in refused
        pipelined = await run(
            "swaks", "--to", "bob@example.test", "--server", server, "--pipeline",
        )  # fmt: skip
        assert "250 2.0.0" in pipelined


@pytest.mark.skipif(
    not (programs.REQUIRED or has_tls()),
    reason="swaks has no TLS here: it needs libnet-ssleay-perl",
)
async def test_swaks_speaks_starttls_with_the_labs_own_authority() -> None:
    async with lab("tls", Topology(tls=True)) as up:
        server = up.nodes["mx1"].config.address
        talk = await run("swaks", "--to", "bob@example.test", "--server", server, "--tls")
        assert "TLS started" in talk
        await until(up, "mx1", "mailbox.delivered")
        await submit(up)
        await until(up, "mx1", "mailbox.delivered", 2)
        newest = (await box(up))[-1]
        text = (await up.nodes["mx1"].request(MailboxRead(newest.address, newest.name))).decode()
        assert "with ESMTPS" in text


async def test_dig_reads_our_answers() -> None:
    async with lab("dig") as up:
        server = up.nodes["dns"].config.address
        exchanges = await run("dig", f"@{server}", "+short", "example.test", "MX")
        assert sorted(exchanges.split("\n")) == ["", "10 mx1.example.test.", "20 mx2.example.test."]
        absent = await run("dig", f"@{server}", "nowhere.example.test", "A")
        assert "status: NXDOMAIN" in absent
        assert "SOA" in absent
        outside_the_lab = await run("dig", f"@{server}", "+tcp", "www.example.com", "A")
        assert "status: REFUSED" in outside_the_lab
