"""Our DNS server beside NSD with the same zones: each answer the same, section by section.

Skipped by name where NSD is not installed. What differs on purpose is listed, with its reason.
"""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from tests.support.dns_packets import PACKETS, summary

NSD = shutil.which("nsd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NSD is None, reason="NSD is not installed (apt-get install nsd)")

HEAD = "$TTL 300\n@ IN SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60\n"
PARENT = (
    HEAD
    + r"""
@ NS ns.example.test.
@ MX 10 mx1
@ MX 20 mail.sub
ns A 10.0.0.2
mx1 A 10.0.0.3
mx1 AAAA 2001:db8::3
www CNAME mx1
into CNAME host.sub
out CNAME www.other.test.
far CNAME www.nowhere.invalid.
away CNAME host.child
; a cut, with glue, with what hides below it, and with a sibling's server
sub NS ns.sub
sub NS ns.lame.else
sub NS ns.twig
sub DS 12345 8 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
sub TXT "hidden at the cut"
ns.sub A 10.0.0.53
ns.sub AAAA 2001:db8::53
host.sub A 10.0.0.99
mail.sub A 10.0.0.98
deep.er.sub NS ns.deep.er.sub
ns.deep.er.sub A 10.0.0.97
*.sub A 10.0.0.96
; a cut whose server has its own name, and one whose server is elsewhere
twig NS ns.twig
ns.twig A 10.0.0.54
twig2 NS twig2
twig2 A 10.0.0.55
else NS ns.other.test.
; a zone of ours below
child NS ns.child
ns.child A 10.0.0.2
; wildcards, and a cut below one
*.wild MX 10 mx1
*.wild A 10.0.0.80
cut.wild NS ns.cut.wild
ns.cut.wild A 10.0.0.56
x.y.wild TXT "not the wildcard's"
*.alias CNAME host.sub
; types that the lab itself has no use for
_25._tcp.mx1 TLSA 3 1 1 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
_smtp._tcp SRV 0 5 25 mx1
@ CAA 0 issue "ca.test"
@ TXT "v=spf1 -all" "second"
odd TYPE65534 \# 4 0a000001
odd TYPE1 \# 4 0a000002
odd SSHFP 4 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
odd NAPTR 100 10 "S" "SIP+D2U" "" _sip._udp
odd HINFO "PDP-11" "UNIX"
odd LOC \# 16 00121314 80000000 80000000 00989680
"""
)
CHILD = HEAD + "@ NS ns.child.example.test.\nhost A 10.0.0.70\nns A 10.0.0.2\n"
OTHER = HEAD + "@ NS ns.example.test.\nwww A 10.0.0.60\nns A 10.0.0.61\n"
ZONES = {"example.test": PARENT, "child.example.test": CHILD, "other.test": OTHER}
NAMES = [
    "example.test", "mx1", "www", "into", "out", "away", "ns", "nobody", "sub", "host.sub",
    "ns.sub", "nobody.sub", "deep.er.sub", "x.deep.er.sub", "er.sub", "mail.sub", "twig",
    "ns.twig", "twig2", "x.twig2", "else", "x.else", "child", "host.child", "ns.child",
    "nobody.child", "wild", "x.wild", "a.b.wild", "cut.wild", "x.cut.wild", "ns.cut.wild",
    "y.wild", "x.y.wild", "z.y.wild", "*.wild", "*.sub", "q.alias", "_25._tcp.mx1", "_tcp.mx1",
    "_smtp._tcp", "_tcp", "odd", "other.test.", "www.other.test.", "ns.other.test.",
    "nobody.other.test.", "test.", "nowhere.invalid.", ".",
]  # fmt: skip
TYPES = [
    "A", "AAAA", "MX", "NS", "SOA", "DS", "TXT", "CNAME", "TLSA", "SRV", "CAA", "TYPE65534",
    "SSHFP", "NAPTR", "HINFO", "LOC", "TYPE1",
]  # fmt: skip
SILENCE = 0.5  # seconds after which no answer counts as none
NSD_DIFFERS = {  # its answer, and why ours is another
    "type OPT": ("NOERROR AA", "OPT is for messages (RFC 6891 §6.1.1): BIND answers as we do"),
    "AXFR": ("NOTIMP", "by UDP; we refuse a transfer by TCP alike"),
    "no question but EDNS": ("NOERROR", "it knows DNS cookies (RFC 7873 §5.4)"),
    "behind the message, more": ("NOERROR AA", "BIND answers as we do"),
    "NOTIFY": ("REFUSED", "BIND says NOTAUTH for a zone that it has from nowhere"),
    "NOTIFY of another type": ("NXDOMAIN", "a NOTIFY is about the SOA (RFC 1996 §3.7)"),
    "an additional A": ("FORMERR", "an unknown additional record is passed by"),
    "an additional A by a pointer": ("FORMERR", "likewise"),
}
ELSEWHERE = ("additional ns.other.test. ", "additional ns.example.test. ")


@dataclass(frozen=True)
class Pair:
    """The ports of the two servers."""

    ours: int
    theirs: int


def free_port() -> int:
    """A port that is free for UDP and TCP on loopback."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        port = int(tcp.getsockname()[1])
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
    return port


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    port = free_port()
    lines = [
        "server:", f"  ip-address: 127.0.0.1@{port}", '  username: ""', '  chroot: ""',
        f'  zonesdir: "{tmp_path}"', f'  pidfile: "{tmp_path}/nsd.pid"', '  database: ""',
        f'  logfile: "{tmp_path}/log"', f'  xfrdfile: "{tmp_path}/xfrd"', "  server-count: 1",
        f'  zonelistfile: "{tmp_path}/zones"', f'  cookie-secret-file: "{tmp_path}/cookies"',
        '  minimal-responses: no', '  confine-to-zone: no', "  rrl-ratelimit: 0",
        f'  xfrdir: "{tmp_path}"', "  ipv4-edns-size: 1232",
        "remote-control:", "  control-enable: no",
    ]  # fmt: skip
    zones = Zones()
    for origin, text in ZONES.items():
        (tmp_path / origin).write_text(text)
        lines += ["zone:", f'  name: "{origin}"', f'  zonefile: "{origin}"']
        zones.replace(origin, text)
    (tmp_path / "nsd.conf").write_text("\n".join(lines) + "\n")
    ours = DnsServer(zones, lambda body, message=None: None)
    await ours.start("127.0.0.1", 0)
    assert NSD is not None
    nsd = await asyncio.create_subprocess_exec(
        NSD, "-d", "-c", str(tmp_path / "nsd.conf"), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            query = dns.message.make_query("example.test", "SOA")
            while (await said(query, port, nsd)) is None:
                pass
        yield Pair(ours.port, port)
    finally:
        if nsd.returncode is None:
            nsd.terminate()
        await nsd.communicate()
        await ours.close()


async def said(
    query: dns.message.Message, port: int, process: asyncio.subprocess.Process
) -> dns.message.Message | None:
    """What the server on `port` answers, None while nobody listens there."""
    assert process.returncode is None, "NSD ended"
    try:
        return await asyncio.to_thread(dns.query.udp, query, "127.0.0.1", timeout=1, port=port)
    except (OSError, dns.exception.Timeout):
        return None


def shown(message: dns.message.Message) -> list[str]:
    """An answer in lines, in an order that says nothing: sections are sets of records."""
    lines = [f"{dns.rcode.to_text(message.rcode())} {dns.flags.to_text(message.flags)}"]
    for section in ("answer", "authority", "additional"):
        lines += sorted(
            f"{section} {line}".lower()
            for rrset in getattr(message, section)
            for line in rrset.to_text().splitlines()
        )
    return lines


def expected(theirs: list[str], ours: list[str]) -> list[str]:
    """NSD's answer, without what is at a server's pleasure: it names a zone's servers beside a
    positive answer, and we do not; we know addresses from another zone of ours, and say them."""
    positive = any(line.startswith("answer ") for line in theirs)
    kept = [
        line
        for line in theirs
        if line in ours or not (positive and line.startswith(("authority ", "additional ")))
    ]
    return kept + [line for line in ours if line.startswith(ELSEWHERE) and line not in kept]


async def ask(query: dns.message.Message, port: int) -> dns.message.Message:
    def by_tcp() -> dns.message.Message:
        return dns.query.tcp(query, "127.0.0.1", timeout=5, port=port)

    return await asyncio.to_thread(by_tcp)


async def test_every_answer_is_nsds(pair: Pair) -> None:
    differences: list[str] = []
    origin = dns.name.from_text("example.test.")
    for name in NAMES:
        full = dns.name.from_text("@" if name == "example.test" else name, origin)
        for kind in TYPES:
            query = dns.message.make_query(full, kind, use_edns=True, payload=1232)
            ours, theirs = shown(await ask(query, pair.ours)), shown(await ask(query, pair.theirs))
            theirs = expected(theirs, ours)
            if ours != theirs:
                differences += [f"{full} {kind}"]
                differences += [f"  ours   {line}" for line in ours if line not in theirs]
                differences += [f"  theirs {line}" for line in theirs if line not in ours]
    assert not differences, "\n".join(differences)


async def test_every_packet_is_answered_as_nsd_does(pair: Pair) -> None:
    found = {}
    for name, (packet, _) in PACKETS.items():
        ours, theirs = [await by_udp(packet, port) for port in (pair.ours, pair.theirs)]
        if ours != theirs:
            found[name] = theirs
    assert found == {name: theirs for name, (theirs, _) in NSD_DIFFERS.items()}


async def by_udp(packet: bytes, port: int) -> str:
    """What comes back: its rcode and whether it claims authority."""

    def ask() -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.settimeout(SILENCE)
            udp.connect(("127.0.0.1", port))
            udp.send(packet)
            try:
                return udp.recv(65535)
            except TimeoutError:
                return b""

    words = summary(await asyncio.to_thread(ask)).split()
    return " ".join(word for word in words if word not in ("EDNS", "DO"))
