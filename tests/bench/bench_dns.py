"""Our DNS server against dnslib's stock DNSServer: the same zone, load and machine, in one run.

Each runs in a process of its own; dnsperf asks for the MX of the lab's domain and its hosts'
addresses. Ours also writes its event line for each query, as it does in a lab. Rates are queries
per second, medians of rounds in which the two take turns.
"""

import asyncio
import random
import re
import shutil
import statistics
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.dns.iterative import IterativeResolver
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from mxlab_services.events import Emitter, encode
from tests.bench.table import Table, machine

SECONDS = 3
ROUNDS = 3
LOOKUPS = 20_000
ZONE = """$TTL 1h
@ IN SOA ns hostmaster 1 1h 15m 1w 60
@ IN NS ns
@ IN MX 10 mx1
@ IN MX 20 mx2
ns IN A 10.0.0.2
mx1 IN A 10.0.0.3
mx2 IN A 10.0.0.4
"""
QUERIES = (
    "example.test MX\nmx1.example.test A\nmx2.example.test A\nmx1.example.test AAAA\n"
    "nobody.example.test A\n"
)
OURS = """
import asyncio, os, sys
from mxlab_services.clock import ScaledClock
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from mxlab_services.events import Emitter, encode

async def main():
    null = open(os.devnull, "wb", buffering=0)
    zones = Zones()
    zones.replace("example.test", sys.argv[1])
    emit = Emitter("dns", ScaledClock(), lambda event: null.write(encode(event)))
    server = DnsServer(zones, emit)
    await server.start("127.0.0.1", 0)
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
STOCK = """
import socket, sys, threading
from dnslib.server import DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver

records = "$ORIGIN example.test.\\n" + sys.argv[1]
logger = DNSLogger("-request,-reply,-truncated,-error,-recv,-send,-data", False)
server = DNSServer(ZoneResolver(records), address="127.0.0.1", port=0, logger=logger)
print(server.server.server_address[1], flush=True)
server.start()
"""

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not shutil.which("dnsperf"), reason="dnsperf is not installed"),
]


@asynccontextmanager
async def serving(program: str) -> AsyncIterator[int]:
    """A server in a process of its own; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, ZONE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield port
    finally:
        process.kill()
        await process.wait()


async def rate(port: int, queries: Path) -> float:
    """Queries per second that the server answers; none may be lost."""
    process = await asyncio.create_subprocess_exec(
        "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(queries), "-l", str(SECONDS),
        "-c", "10", "-q", "50", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    text = out.decode()
    found = re.search(r"Queries per second:\s+([\d.]+)", text)
    assert found, text
    assert re.search(r"Queries lost:\s+0 ", text), text
    return float(found[1])


async def test_our_dns_server_beats_dnslibs(tmp_path: Path) -> None:
    queries = tmp_path / "queries"
    queries.write_text(QUERIES)
    rates: dict[str, list[float]] = {"ours": [], "dnslib": []}
    async with serving(OURS) as ours, serving(STOCK) as stock:
        for _ in range(ROUNDS):
            rates["ours"].append(await rate(ours, queries))
            rates["dnslib"].append(await rate(stock, queries))
    mine, theirs = (statistics.median(rates[name]) for name in ("ours", "dnslib"))
    table = Table(f"DNS over UDP, queries per second ({machine()})", "server", "rate", "ratio")
    table.row("mxlab", f"{mine:.0f}", f"{mine / theirs:.1f}")
    table.row("dnslib's DNSServer", f"{theirs:.0f}", "1.0")
    table.show()
    assert mine > 2 * theirs


async def test_the_resolver_answers_from_cache_at_the_servers_rate() -> None:
    """Both in this process, without sockets: what one of the MTA's lookups costs that the cache
    answers, beside what an answer costs the server. Each encodes its event."""
    emit = Emitter("bench", ScaledClock(), lambda event: sizes.append(len(encode(event))))
    sizes: deque[int] = deque(maxlen=1)
    zones = Zones()
    zones.replace("example.test", ZONE)
    zones.replace(".", f"{ZONE}example.test. NS ns.example.test.\nns.example.test. A 127.0.0.1\n")
    server = DnsServer(zones, emit)
    await server.start("127.0.0.1", 0)
    resolver = IterativeResolver(
        ["127.0.0.1"], server.port, ScaledClock(), random.Random(1), emit, ["127.0.0.0/8"]
    )
    try:
        assert (await resolver.mx("example.test")).status == "ok"
        packet = dns.message.make_query("example.test", "MX").to_wire()
        rates: dict[str, list[float]] = {"resolver": [], "server": []}
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(LOOKUPS):
                await resolver.mx("example.test")
            rates["resolver"].append(LOOKUPS / (time.perf_counter() - began))
            began = time.perf_counter()
            for _ in range(LOOKUPS):
                server.respond(packet, "udp", "127.0.0.1")
            rates["server"].append(LOOKUPS / (time.perf_counter() - began))
    finally:
        await server.close()
    cached, served = (statistics.median(rates[name]) for name in ("resolver", "server"))
    table = Table(f"DNS without sockets, per second ({machine()})", "what", "rate", "ratio")
    table.row("a lookup that the cache answers", f"{cached:.0f}", f"{cached / served:.1f}")
    table.row("an answer of the server", f"{served:.0f}", "1.0")
    table.show()
    assert cached > served / 2
