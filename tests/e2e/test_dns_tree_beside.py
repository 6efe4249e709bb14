"""A tree of our name servers, walked by others as by our own resolver: unbound, dig, kdig.

All at port 53, since that is where others go on from a referral, on loopback addresses that each
test has to itself. Skipped by name where a program is missing, or the port may not be had.
"""

import asyncio
import json
import random
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.config import DnsConfig
from mxlab_services.dns.iterative import IterativeResolver
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts
from tests.support.dns_programs import installed, running
from tests.support.programs import REQUIRED, needs, require_namespace

PORT = 53
SOA = "$TTL 60\n@ SOA . . 1 3600 600 86400 30\n"
NAMES = [
    ("example.test", "MX"), ("mx1.example.test", "A"), ("www.example.test", "A"),
    ("mx1.example.test", "AAAA"), ("nobody.example.test", "A"), ("nowhere.test", "MX"),
    ("nowhere", "A"), ("test", "NS"),
]  # fmt: skip
unbound = pytest.mark.skipif(
    installed("unbound") is None and not REQUIRED, reason="not installed: unbound"
)


def may_bind() -> bool:
    """Whether port 53 of a loopback address may be bound, and is free."""
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.78.1.1", PORT))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(
    not may_bind() and not REQUIRED, reason="port 53 of 127.78.0.0/16 may not be bound here"
)


class Tree:
    """The addresses 127.78.`number`.1 to .5 of the servers and of a resolver."""

    def __init__(self, number: int) -> None:
        self.network = f"127.78.{number}.0/24"
        self.root, self.tld, self.ns1, self.ns2, self.resolver = (
            f"127.78.{number}.{host}" for host in range(1, 6)
        )

    def zones(self) -> dict[str, dict[str, str]]:
        """The zones by server; ns2 takes example.test from ns1."""
        root = f"@ NS a.root.\na.root. A {self.root}\ntest. NS ns.test.\nns.test. A {self.tld}\n"
        delegated = f"ns1.example A {self.ns1}\nns2.example A {self.ns2}\n"
        test = f"@ NS ns\nns A {self.tld}\nexample NS ns1.example\nexample NS ns2.example\n"
        example = f"@ NS ns1\n@ NS ns2\nns1 A {self.ns1}\nns2 A {self.ns2}\n"
        hosts = "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 10.0.0.3\nmx2 A 10.0.0.4\nwww CNAME mx1\n"
        return {
            self.root: {".": SOA + root},
            self.tld: {"test": SOA + test + delegated},
            self.ns1: {"example.test": SOA + example + hosts},
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[IterativeResolver]:
        """The servers while they run; our resolver over them."""
        async with AsyncExitStack() as stack:

            async def serve(address: str, **config: Any) -> None:
                made = DnsConfig(node="ns", address=address, port=PORT, **config)
                parts = Parts(ScaledClock(), lambda *_, **__: None, NoStorage())
                node = await start_node(made, parts)
                stack.push_async_callback(node.stop, "the test is over")

            for address, zones in self.zones().items():
                await serve(address, zones=zones, secondaries={"example.test": [self.ns2]})
            await serve(self.ns2, primaries={"example.test": [self.ns1]})
            yield IterativeResolver(
                [self.root], PORT, ScaledClock(), random.Random(),
                lambda *_, **__: None, [self.network],
            )  # fmt: skip

    @asynccontextmanager
    async def unbound(self, folder: Path) -> AsyncIterator[None]:
        """unbound as a resolver over the tree, when it answers."""
        (folder / "unbound.conf").write_text(f"""
server:
  interface: {self.resolver}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  module-config: "iterator"
  local-zone: "test." nodefault
  num-threads: 1
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: {self.root}
  stub-prime: no
""")
        command = ["unbound", "-d", "-c", str(folder / "unbound.conf")]
        async with running(command) as process, asyncio.timeout(120):
            while True:
                assert process.returncode is None, "unbound ended"
                try:
                    await ask(self.resolver, "example.test", "SOA")
                except (OSError, dns.exception.Timeout):
                    continue
                break
            yield


async def ask(address: str, name: str, kind: str) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    return await asyncio.to_thread(dns.query.udp, query, address, 5, PORT)


async def run(*command: str) -> str:
    """What a program says."""
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def result(message: dns.message.Message) -> tuple[str, list[str]]:
    """The rcode, and the records of the answer without their TTL."""
    lines = [f"{rrset.name} {rr}" for rrset in message.answer for rr in rrset]
    return dns.rcode.to_text(message.rcode()), sorted(lines)


def servers(text: str, sign: str) -> list[str]:
    """The addresses in the lines of a trace that say what came from where."""
    lines = [line for line in text.splitlines() if line.startswith(sign) and " from " in line]
    return [line.split(" from ")[1].split("#")[0] for line in lines]


@unbound
@needs("dig", "unshare")
async def test_dig_traces_the_way_that_we_show(tmp_path: Path) -> None:
    require_namespace()
    tree = Tree(1)
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {tree.resolver}\n")  # dig looks up names of servers there
    script = f"mount --bind {conf} /etc/resolv.conf && exec dig @{tree.root} +trace +nodnssec $0 $1"
    async with tree.serving() as ours, tree.unbound(tmp_path):
        said = await run("unshare", "--mount", "sh", "-c", script, "example.test", "MX")
        report = await ours.dig("example.test", "MX", trace=True)
    theirs = servers(said, ";; Received")
    assert servers(report.text, ";; example.test") == [tree.root, tree.tld, tree.ns1]
    assert theirs[:3] == [tree.root, tree.root, tree.tld], said  # the first is for the root's NS
    assert theirs[3] in (tree.ns1, tree.ns2)
    assert "MX\t10 mx1.example.test." in said


@needs("kdig")
async def test_kdig_and_dnspython_read_every_server_alike() -> None:
    tree = Tree(2)
    async with tree.serving():
        for address in (tree.root, tree.tld, tree.ns1, tree.ns2):
            for name, kind in NAMES:
                message = await ask(address, name, kind)
                said = json.loads(await run("kdig", f"@{address}", "+json", "+norec", name, kind))
                assert said["RCODE"] == message.rcode()
                count = sum(len(rrset) for rrset in message.answer)
                assert said["ANCOUNT"] == count, (address, name, kind)
                assert bool(said["AA"]) == bool(message.flags & dns.flags.AA)


@unbound
async def test_unbound_resolves_through_our_root_as_our_resolver_does(tmp_path: Path) -> None:
    tree = Tree(3)
    async with tree.serving() as ours, tree.unbound(tmp_path):
        for name, kind in NAMES:
            rcode, records = result(await ask(tree.resolver, name, kind))
            report = await ours.dig(name, kind)
            assert report.rcode == rcode, (name, kind)
            mine = sorted(
                f"{line.split()[0]} {' '.join(line.split()[4:])}" for line in report.answers
            )
            assert mine == records, (name, kind)
