"""The DNS server through its packets, read by dnspython."""

import asyncio
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services.control.requests import ZoneList, ZoneReplace, ZoneUpdate
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.server import DnsServer
from mxlab_services.errors import ZoneError
from mxlab_services.events import DnsZone
from tests.support.dns_lab import ZONE, DnsLab, Emitted, dns_lab, zones
from tests.support.dns_packets import PACKETS, summary


@pytest.fixture
async def lab() -> AsyncIterator[DnsLab]:
    async with dns_lab() as made:
        yield made


def exchange(
    server: DnsServer, query: dns.message.Message, tcp: bool = False
) -> dns.message.Message:
    wire = server.respond(query.to_wire(), "tcp" if tcp else "udp", "192.0.2.1")
    reply = dns.message.from_wire(wire)
    assert query.is_response(reply)
    return reply


def ask(server: DnsServer, name: str, kind: str) -> dns.message.Message:
    return exchange(server, dns.message.make_query(name, kind, use_edns=False))


def server() -> DnsServer:
    return DnsServer(zones(), Emitted())


def test_every_rrset_equals_what_dnspython_reads_from_the_same_zone_text() -> None:
    reference = dns.zone.from_text(ZONE, "example.test.", relativize=False)
    ours = server()
    count = 0
    for name, kind_set in reference.iterate_rdatasets():
        reply = ask(ours, str(name), dns.rdatatype.to_text(kind_set.rdtype))
        first = reply.answer[0]
        assert (first.name, first.rdtype, first.ttl) == (name, kind_set.rdtype, kind_set.ttl)
        assert set(first) == set(kind_set)
        assert reply.flags & dns.flags.AA
        assert not reply.flags & dns.flags.RA
        count += 1
    assert count == 16


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nobody.example.test", "A", "NXDOMAIN"),
        ("example.test", "AAAA", "NOERROR"),
        ("deep.example.test", "A", "NOERROR"),  # an empty non-terminal
        ("b.deep.example.test", "TXT", "NOERROR"),
        ("x.b.deep.example.test", "A", "NXDOMAIN"),
        ("x.wild.example.test", "A", "NOERROR"),
        ("example.test", "TYPE65000", "NOERROR"),
    ],
)
def test_a_negative_answer_has_the_soa_with_the_negative_ttl(
    name: str, kind: str, rcode: str
) -> None:
    reply = ask(server(), name, kind)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert not reply.answer
    assert [(str(rrset.name), rrset.rdtype, rrset.ttl) for rrset in reply.authority] == [
        ("example.test.", dns.rdatatype.SOA, 60)
    ]


def test_names_outside_the_lab_are_refused() -> None:
    for name in ("example.org", ".", "test"):
        reply = ask(server(), name, "A")
        assert (reply.rcode(), reply.answer) == (dns.rcode.REFUSED, [])


def test_cname_chains_end_in_the_zones_of_the_server() -> None:
    ours = server()
    away = ask(ours, "away.example.test", "A")
    assert [str(rrset) for rrset in away.answer] == [
        "away.example.test. 3600 IN CNAME mail.other.test.",
        "mail.other.test. 60 IN A 10.0.0.9",
    ]
    lost = ask(ours, "lost.example.test", "A")
    assert (lost.rcode(), len(lost.answer)) == (dns.rcode.NXDOMAIN, 1)
    loop = ask(ours, "loop1.example.test", "A")
    assert (loop.rcode(), len(loop.answer)) == (dns.rcode.NOERROR, 2)


def test_a_wildcard_answers_for_names_that_do_not_exist() -> None:
    reply = ask(server(), "x.y.wild.example.test", "MX")
    assert [str(rrset) for rrset in reply.answer] == [
        "x.y.wild.example.test. 3600 IN MX 10 mx1.example.test."
    ]


def test_mx_answers_bring_the_addresses_of_their_hosts() -> None:
    reply = ask(server(), "example.test", "MX")
    assert sorted(str(rrset) for rrset in reply.additional) == [
        "mx1.example.test. 300 IN A 10.0.0.3",
        "mx1.example.test. 300 IN AAAA 2001:db8::3",
        "mx2.example.test. 3600 IN A 10.0.0.4",
    ]


def test_any_gets_all_that_the_name_has() -> None:
    reply = ask(server(), "example.test", "ANY")
    assert {rrset.rdtype.name for rrset in reply.answer} == {"SOA", "NS", "MX"}


def test_names_are_case_insensitive_and_the_reply_keeps_the_case() -> None:
    reply = ask(server(), "ExAmPlE.TeSt", "MX")
    assert str(reply.question[0].name) == "ExAmPlE.TeSt."
    assert str(reply.answer[0].name) == "ExAmPlE.TeSt."


def big() -> DnsServer:
    both = zones()
    lines = [f'big.example.test. TXT "{number:0200d}"' for number in range(20)]
    both.update("example.test", lines, [])
    return DnsServer(both, Emitted())


@pytest.mark.parametrize(("payload", "most"), [(None, 512), (600, 600), (4096, 1232)])
def test_what_does_not_fit_is_truncated_to_the_size_that_the_asker_takes(
    payload: int | None, most: int
) -> None:
    query = dns.message.make_query(
        "big.example.test", "TXT", use_edns=payload is not None, payload=payload or 0
    )
    ours = big()
    reply = exchange(ours, query)
    assert reply.flags & dns.flags.TC
    assert len(ours.respond(query.to_wire(), "udp", "192.0.2.1")) <= most
    assert (reply.edns == 0) == (payload is not None)
    whole = exchange(ours, query, tcp=True)
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 20


def test_additional_records_are_dropped_before_anything_is_truncated() -> None:
    both = zones()
    hosts = [f"host-with-quite-a-long-name-{number:03}" for number in range(8)]
    lines = [f"many.example.test. MX 10 {host}" for host in hosts]
    lines += [f"{host} A 10.0.1.{number}" for number, host in enumerate(hosts)]
    both.update("example.test", lines, [])
    reply = ask(DnsServer(both, Emitted()), "many.example.test", "MX")
    assert (len(reply.answer[0]), reply.additional) == (8, [])
    assert not reply.flags & dns.flags.TC


def test_an_answer_beyond_the_reach_of_compression_is_still_right() -> None:
    both = zones()
    lines = [f"huge.example.test. MX {n} host-{n:04}-{'x' * 40}" for n in range(400)]
    lines += [f"host-{n:04}-{'x' * 40} A 10.1.{n // 250}.{n % 250}" for n in range(400)]
    both.update("example.test", lines, [])
    query = dns.message.make_query("huge.example.test", "MX")
    reply = exchange(DnsServer(both, Emitted()), query, tcp=True)
    assert len(reply.answer[0]) == 400
    assert len(reply.additional) == 400


def test_edns_versions_that_nobody_knows_get_badvers() -> None:
    query = dns.message.make_query("example.test", "MX", use_edns=1)
    reply = exchange(server(), query)
    assert (reply.rcode(), reply.edns) == (dns.rcode.BADVERS, 0)


def test_unknown_opcodes_get_notimp_and_transfers_are_refused() -> None:
    query = dns.message.make_query("example.test", "SOA")
    query.set_opcode(dns.opcode.UPDATE)
    wire = server().respond(query.to_wire(), "udp", "192.0.2.1")
    assert dns.message.from_wire(wire).rcode() == dns.rcode.NOTIMP
    assert ask(server(), "example.test", "AXFR").rcode() == dns.rcode.REFUSED


def test_malformed_packets_get_formerr_or_silence() -> None:
    ours = server()
    good = dns.message.make_query("example.test", "MX", use_edns=False).to_wire()
    assert ours.respond(good[:11], "udp", "192.0.2.1") == b""
    assert ours.respond(good[:2] + b"\x80" + good[3:], "udp", "192.0.2.1") == b""  # a reply
    cut = ours.respond(good[:-1], "udp", "192.0.2.1")
    assert dns.message.from_wire(cut).rcode() == dns.rcode.FORMERR
    assert cut[:2] == good[:2]


@pytest.mark.parametrize("name", PACKETS)
def test_an_odd_packet_gets_what_the_standard_says(name: str) -> None:
    packet, expected = PACKETS[name]
    assert summary(server().respond(packet, "udp", "192.0.2.1")) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=100),
        st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=4)).map(
            lambda change: (
                (good := dns.message.make_query("www.example.test", "MX", payload=900).to_wire())[
                    : change[0]
                ]
                + change[1]
                + good[change[0] + len(change[1]) :]
            )
        ),
    )
)
def test_any_packet_gets_a_well_formed_reply_or_silence(packet: bytes) -> None:
    for transport in ("udp", "tcp"):
        reply = SHARED.respond(packet, "tcp" if transport == "tcp" else "udp", "192.0.2.1")
        if reply:
            message = dns.message.from_wire(reply, ignore_trailing=False)
            assert message.flags & dns.flags.QR
            assert reply[:2] == packet[:2]


def test_what_is_no_query_gets_its_error_and_nothing_of_its_sections() -> None:
    """An UPDATE's first section is a zone's (RFC 2136 §2.3), here of no type at all."""
    update = b"\0\7\x28\0\0\1\0\0\0\0\0\0\0\0\0\0\0"
    assert server().respond(update, "udp", "192.0.2.1") == b"\0\7\xa8\4" + bytes(8)


SHARED = server()
CLIENTS = [("127.0.0.1", True), ("127.0.0.1", True), ("127.0.0.1", False), ("127.0.0.2", True)]


async def test_udp_and_tcp_answer_alike_and_tcp_takes_several_queries(lab: DnsLab) -> None:
    query = dns.message.make_query("example.test", "MX")
    by_udp = await dns.asyncquery.udp(query, "127.0.0.1", port=lab.server.port, timeout=5)
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.server.port)
    wire = query.to_wire()
    writer.write((len(wire).to_bytes(2) + wire) * 3)
    for _ in range(3):
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert dns.message.from_wire(reply) == by_udp
    writer.write(b"\0\3abc")  # no header: the connection ends
    assert await reader.read() == b""
    writer.close()
    events = lab.served.queries()
    assert [event.transport for event in events] == ["udp", "tcp", "tcp", "tcp"]
    assert events[0].answers[0] == "example.test. 3600 IN MX 10 mx1.example.test."
    assert (events[0].rcode, events[0].peer, events[0].truncated) == ("NOERROR", "127.0.0.1", False)


async def test_tcp_messages_may_come_in_pieces_and_several_at_once(lab: DnsLab) -> None:
    """A read is no unit (RFC 7766 §8): the length, too, may come byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.server.port)
    queries = [dns.message.make_query(name, "A") for name in ("mx1.example.test", "no.other.test")]
    stream = b"".join(len(q.to_wire()).to_bytes(2) + q.to_wire() for q in queries)
    for octet in stream[:-20]:
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(stream[-20:] + stream)
    for query in queries * 2:
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert query.is_response(dns.message.from_wire(reply))
    writer.close()


async def test_a_changed_zone_is_answered_at_once_and_told(lab: DnsLab) -> None:
    controls = Controls()
    lab.server.controls(controls)
    ask(lab.server, "example.test", "MX")
    report = await controls(
        ZoneUpdate("example.test", ["@ 60 MX 5 mx2"], ["example.test. MX 10 mx1", "mx1 AAAA"])
    )
    assert report.serial == 8
    reply = ask(lab.server, "example.test", "MX")
    assert [str(item) for item in sorted(reply.answer[0])] == [
        "5 mx2.example.test.", "20 mx2.example.test.",
    ]  # fmt: skip
    told = [body for body in lab.served.bodies if isinstance(body, DnsZone)]
    assert (told[0].origin, told[0].serial) == ("example.test.", 8)
    assert "example.test. 60 IN MX 5 mx2.example.test." in told[0].added
    assert "mx1.example.test. 300 IN AAAA 2001:db8::3" in told[0].removed
    both = "$TTL 1\n@ SOA ns h 1 1 1 1 1\n NS ns\n MX 0 .\n MX 1 mx\n"
    with pytest.raises(ZoneError, match="null MX"):
        await controls(ZoneReplace("example.test", both))
    await controls(ZoneReplace("example.test", both, strict=False))
    assert len(ask(lab.server, "example.test", "MX").answer[0]) == 2
    origins = [zone.origin for zone in await controls(ZoneList())]
    assert origins == ["example.test.", "other.test."]


async def test_tcp_connections_are_bounded_in_number_and_in_silence() -> None:
    ours = DnsServer(zones(), Emitted(), idle=0.2, connections=2)
    await ours.start("127.0.0.1", 0)
    ends = [await asyncio.open_connection("127.0.0.1", ours.port) for _ in range(3)]
    async with asyncio.timeout(5):
        for reader, writer in reversed(ends):
            assert await reader.read() == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        wire = dns.message.make_query("example.test", "MX").to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        assert await reader.readexactly(2)
    writer.close()
    await ours.close()


async def test_one_client_does_not_take_all_tcp_connections() -> None:
    ours = DnsServer(zones(), Emitted(), per_client=2)
    await ours.start("127.0.0.1", 0)
    wire = dns.message.make_query("example.test", "MX").to_wire()
    ends = []
    async with asyncio.timeout(5):
        for source, served in CLIENTS:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", ours.port, local_addr=(source, 0)
            )
            writer.write(len(wire).to_bytes(2) + wire)
            try:
                assert bool(await reader.read(2)) == served
            except ConnectionResetError:
                assert not served
            ends.append(writer)
    for writer in ends:
        writer.close()
    await ours.close()


async def test_close_ends_open_connections_and_frees_the_port(lab: DnsLab) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.server.port)
    query = dns.message.make_query("example.test", "MX").to_wire()
    writer.write(len(query).to_bytes(2) + query)
    await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    await lab.server.close()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    again = DnsServer(zones(), Emitted())
    await again.start("127.0.0.1", lab.server.port)
    await again.close()
