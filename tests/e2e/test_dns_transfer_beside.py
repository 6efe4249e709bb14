"""BIND, NSD and Knot as secondary of our primary, and as primary of our secondary.

Each takes the whole zone at the start, and a change as soon as it is told of it. On loopback only;
skipped by name where a server is not installed.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.zone
import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.config import DnsConfig
from mxlab_services.control.requests import ZoneUpdate
from mxlab_services.events import Body, DnsTransfer, Source
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts, RunningNode
from tests.support.dns_programs import (
    OURS,
    THEIRS,
    Config,
    bind,
    free_port,
    installed,
    knot,
    nsd,
    running,
    serial_at,
)
from tests.support.programs import REQUIRED
from tests.support.record_lines import LINES

HEAD = "$TTL 300\n@ IN SOA ns.x.test. h.x.test. {serial} 3600 600 86400 60\n@ NS ns.x.test.\n"
TOO_ODD = (" NSEC3 ", " NSEC ", " RRSIG ", " NSEC3PARAM ", " DNSKEY ", " CDNSKEY ", " CDS ",
           " ZONEMD ", " CSYNC ", " SPF ")  # fmt: skip
PROGRAMS = [
    pytest.param(
        config,
        id=name,
        marks=pytest.mark.skipif(
            installed(program) is None and not REQUIRED, reason=f"not installed: {program}"
        ),
    )
    for name, program, config in (
        ("bind", "named", bind),
        ("nsd", "nsd", nsd),
        ("knot", "knotd", knot),
    )
]


def text(serial: int, *more: str) -> str:
    """A zone of example.test of many types, without those that would have to be true."""
    lines = [line for line in LINES if not any(word in line for word in TOO_ODD)]
    return HEAD.format(serial=serial) + "\n".join([*lines, *more]) + "\n"


@asynccontextmanager
async def ours(port: int, told: list[Body], **config: Any) -> AsyncIterator[RunningNode]:
    def emit(body: Body, message: str | None = None, *, source: Source = "") -> None:
        told.append(body)

    made = DnsConfig(node="ns", address=OURS, port=port, **config)
    node = await start_node(made, Parts(ScaledClock(), emit, NoStorage()))
    try:
        yield node
    finally:
        await node.stop("the test is over")


async def until_serial(address: str, port: int, serial: int, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while await serial_at(address, port, OURS) != serial:
            pass  # which takes its time


@pytest.mark.parametrize("config", PROGRAMS)
async def test_theirs_is_the_secondary(config: Config, tmp_path: Path) -> None:
    port, told = free_port(), list[Body]()
    serve = {
        "zones": {"example.test": text(1)},
        "secondaries": {"example.test": [THEIRS]},
    }
    command = config(tmp_path, port, False)
    async with ours(port, told, **serve) as node, running(command):
        await until_serial(THEIRS, port, 1)
        await node.controls(ZoneUpdate("example.test", ["new A 192.0.2.99"]))
        await until_serial(THEIRS, port, 2)
        query = dns.message.make_query("new.example.test", "A")
        reply = await asyncio.to_thread(dns.query.udp, query, THEIRS, 5, port)
        assert [str(rrset[0]) for rrset in reply.answer] == ["192.0.2.99"]
        for line in text(1).splitlines()[3:]:
            owner, kind, _ = line.split(" ", 2)
            name = "example.test" if owner == "@" else f"{owner}.example.test"
            asked = dns.message.make_query(name, kind)
            answers = [
                await asyncio.to_thread(dns.query.tcp, asked, at, 5, port) for at in (OURS, THEIRS)
            ]
            sent, had = [{str(rr) for rrset in reply.answer for rr in rrset} for reply in answers]
            assert sent == had, line


@pytest.mark.parametrize("config", PROGRAMS)
async def test_theirs_is_the_primary(config: Config, tmp_path: Path) -> None:
    port, told = free_port(), list[Body]()
    (tmp_path / "zone").write_text(text(1))
    async with running(config(tmp_path, port, True)) as process:
        await until_serial(THEIRS, port, 1)
        async with ours(port, told, primaries={"example.test": [THEIRS]}):
            await until_serial(OURS, port, 1)
            (tmp_path / "zone").write_text(text(2, "new A 192.0.2.99"))
            os.kill(process.pid, signal.SIGHUP)
            await until_serial(OURS, port, 2)
            assert [b.why for b in told if isinstance(b, DnsTransfer)] == ["start", "notify"]
            query = dns.message.make_query("new.example.test", "A")
            reply = await asyncio.to_thread(dns.query.udp, query, OURS, 5, port)
            assert [str(rrset[0]) for rrset in reply.answer] == ["192.0.2.99"]


async def test_dnspython_takes_the_zone(tmp_path: Path) -> None:
    port = free_port()
    many = [f"h{number} A 10.1.{number // 250}.{number % 250 + 1}" for number in range(5000)]
    whole = text(7, *many)
    serve = {"zones": {"example.test": whole}, "secondaries": {"example.test": [OURS]}}

    def take() -> dns.zone.Zone:
        messages = dns.query.xfr(OURS, "example.test", port=port, relativize=False, source=OURS)
        return dns.zone.from_xfr(messages, relativize=False)

    async with ours(port, [], **serve):
        taken = await asyncio.to_thread(take)
    assert taken == dns.zone.from_text(whole, "example.test", relativize=False)
