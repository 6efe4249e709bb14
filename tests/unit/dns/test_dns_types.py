"""Record types beyond those that the lab uses: read, kept and served as dnspython does it."""

import random
import re

import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services.dns.rdata import FIELDS
from mxlab_services.dns.resolver import StubResolver
from mxlab_services.dns.rtypes import type_name, type_number
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zone import load_zone
from mxlab_services.dns.zones import Zones
from mxlab_services.errors import ZoneError
from tests.support.dns_lab import Emitted
from tests.support.fakes import StillClock
from tests.support.record_lines import HEAD, LINES, SHA256


def served(server: DnsServer, owner: str, kind: str) -> dns.message.Message:
    query = dns.message.make_query(owner, kind)
    return dns.message.from_wire(server.respond(query.to_wire(), "tcp", "192.0.2.1"))


def a_server(*lines: str) -> DnsServer:
    zones = Zones()
    zones.replace("x.test", HEAD)
    zones.update("x.test", lines, [])
    return DnsServer(zones, Emitted())


@pytest.mark.parametrize("line", LINES)
def test_a_record_is_served_as_dnspython_reads_it(line: str) -> None:
    owner, kind, data = line.split(" ", 2)
    full = "x.test." if owner == "@" else f"{owner}.x.test."
    number = dns.rdatatype.from_text(kind)
    words = data.replace("( ", "").replace(" )", "")
    expected = dns.rdata.from_text(dns.rdataclass.IN, number, words)
    ours = a_server(line)
    at = "x.test" if kind == "DS" else full
    reply = served(ours, full, kind)
    assert reply.rcode() == dns.rcode.NOERROR, at
    answers = [rdata for rrset in reply.answer for rdata in rrset]
    if kind == "NS":  # the cut itself: a referral
        answers = [rdata for rrset in reply.authority for rdata in rrset]
    assert answers == [expected]
    assert {rrset.rdtype for rrset in reply.answer} <= {number}


def test_a_zone_of_every_type_written_out_reads_the_same() -> None:
    zone = load_zone("x.test", HEAD + "\n".join(LINES))
    assert load_zone("x.test", "\n".join(zone.text())).text() == zone.text()
    described = {line.split(" ", 2)[1] for line in LINES}
    assert set(FIELDS) <= described


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a TLSA 3 1 1", "TLSA takes 4 fields, not 3"),
        ("a TLSA 3 1 256 abcd", "TLSA: '256' is not a number up to 255"),
        ("a TLSA 3 1 1 abc", "TLSA: 'abc' is no hexadecimal of whole octets"),
        ("a SRV 0 5 25", "SRV takes 4 fields, not 3"),
        ("a SRV 0 5 25 mx1 mx2", "SRV takes 4 fields, not 5"),
        ("a SRV 0 5 70000 mx1", "SRV: '70000' is not a number up to 65535"),
        ('a SRV 0 5 25 "mx1"', "SRV: a quoted string where none belongs"),
        ("a SRV 0 5 25 a..b", "SRV: 'a..b' is no domain name"),
        ('a CAA 0 iss-ue "x"', "CAA: 'iss-ue' is no tag"),
        ("a DNSKEY 257 3 8 !!", "DNSKEY: '!!' is no base64"),
        (f'a HINFO "{"x" * 256}" y', "HINFO: a string has at most 255 octets"),
        ("a TYPE65534 abcd", "TYPE65534: write its data as \\# LENGTH HEX"),
        ("a TYPE65534 \\# 4 0a0000", "TYPE65534: \\# says 4 octets, and 3 follow"),
        ("a TYPE65534 \\# x 00", "TYPE65534: \\# is followed by the length"),
        ("a TYPE65534 \\#", "TYPE65534: \\# is followed by the length"),
        ("a TYPE65536 \\# 0", "record type 'TYPE65536' is not one of"),
        ("a A \\# 3 0a0000", "A: the data end within a field"),
        ("a A \\# 5 0a00000000", "A: 1 octets too many"),
        ("a TYPE15 \\# 5 000a0361 62", "MX: the data end within a field"),
        ("a TYPE15 \\# 4 000ac00c", "MX: a name in the data is no plain name"),
        ("a LOC 91 N 0 E 0m", "LOC: '91' is no angle up to 90 degrees"),
        ("a LOC 1 60 N 0 E 0m", "LOC: '1 60' is no angle"),
        ("a LOC 1 X 0 E 0m", "LOC: degrees, minutes and seconds end with N or S"),
        ("a LOC 1 N 0 E", "LOC: the altitude is missing"),
        ("a LOC 1 N 0 E high", "LOC: 'high' is no length in metres"),
        ("a LOC 1 N 0 E 0m 1m 1m 1m 1m", "LOC: no altitude, or more than three sizes"),
        ("a SVCB 1 . colour=red", "SVCB: 'colour' is no key"),
        ("a SVCB 1 . port=x", "SVCB: port: "),
        ("a SVCB 1 . port=1 port=2", "SVCB: port stands there twice"),
        ("a SVCB 1 . mandatory=port", "SVCB: mandatory names a key that is not there"),
        ("a TXT \\# 0", "TXT takes one or more strings"),
        ("a DNAME b", "record type DNAME: RFC 6672's redirection is not served here"),
        ("a TYPE39 \\# 1 00", "record type DNAME: "),
        ("a OPT \\# 0", "record type OPT: it belongs to messages"),
        ("a AXFR \\# 0", "record type AXFR: it is for questions only"),
        ("a TYPE255 \\# 0", "record type ANY: it is for questions only"),
        ("a TYPE0 \\# 0", "record type TYPE0: it is for questions only"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ZoneError) as caught:
        load_zone("x.test", HEAD + line)
    assert re.match(rf"line 4, column \d+: {re.escape(reason)}", str(caught.value))


def test_equal_records_are_one_and_unequal_ones_are_not() -> None:
    zones = Zones()
    zones.replace("x.test", HEAD)
    zones.update("x.test", ["a SRV 0 5 25 MX1", "a CERT 1 2 8 aGVsbG8=", "a TLSA 3 1 1 AB"], [])
    again = ["a SRV 0 5 25 mx1", "a CERT 1 2 8 aGVSbG8=", "a TLSA 3 1 1 ab"]
    change = zones.update("x.test", again, [])
    assert len(change.zone.records) == 2 + 4  # another certificate; the others are the same
    gone = zones.update("x.test", [], ["a SRV 0 5 25 mX1", "a TYPE52"])
    assert len(gone.zone.records) == 2 + 2


def test_an_srv_answer_brings_the_addresses_of_its_host() -> None:
    ours = a_server("_submission._tcp SRV 0 5 587 mx1", "mx1 A 10.0.0.3")
    reply = served(ours, "_submission._tcp.x.test", "SRV")
    assert [str(rrset) for rrset in reply.additional] == ["mx1.x.test. 300 IN A 10.0.0.3"]


async def test_dig_shows_what_was_put_in() -> None:
    ours = a_server(*LINES)
    await ours.start("127.0.0.1", 0)
    server = ("127.0.0.1", ours.port)
    resolver = StubResolver(server, StillClock(), random.Random(1), Emitted(), (2.0,))
    for name, kind, shown in (
        ("_25._tcp.mx1.x.test", "tlsa", f"TLSA 3 1 1 {SHA256.lower()}"),
        ("_submission._tcp.x.test", "SRV", "SRV 0 5 587 mx1.x.test."),
        ("x.test", "CAA", 'CAA 0 issue "ca.test; account=1"'),
        ("u.x.test", "NAPTR", 'NAPTR 100 10 "S" "SIP+D2U" "!^.*$!sip:x.test!" _sip._udp.x.test.'),
        ("odd.x.test", "TYPE65534", "TYPE65534 \\# 4 0a000001"),
        ("odd.x.test", "TYPE1", "A 10.0.0.1"),
    ):  # fmt: skip
        report = await resolver.dig(name, kind)
        assert f"{name}. 300 IN {shown}" in report.answers
    await ours.close()


@given(st.integers(0, 65535))
def test_a_type_has_one_name(number: int) -> None:
    assert type_number(type_name(number)) == number
    assert type_number(f"type{number}") == number


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*FIELDS, "A", "MX", "SOA", "TXT", "TYPE999"]), st.binary(max_size=40))
def test_any_data_in_generic_form_is_a_record_or_refused(kind: str, data: bytes) -> None:
    try:
        zone = load_zone("x.test", f"{HEAD}a {kind} \\# {len(data)} {data.hex()}")
    except ZoneError:
        return
    again = load_zone("x.test", "\n".join(zone.text()))
    assert again.text() == zone.text()
    if kind not in ("SOA", "A", "MX", "TXT"):
        assert bytes(zone.records[-1].data.data) == bytes(again.records[-1].data.data) == data
