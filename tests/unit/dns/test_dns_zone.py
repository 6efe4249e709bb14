"""Zone text and its errors, updates and serials."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services.dns.names import parse_name
from mxlab_services.dns.zone import Zone, load_zone
from mxlab_services.dns.zones import Zones
from mxlab_services.errors import ZoneError
from tests.support.dns_lab import ZONE, zones

SOA = "$TTL 60\n@ SOA ns h 4294967295 1 1 1 1\n NS ns\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@ A 1.2.3", "line 4, column 5: A: "),
        ("a AAAA ::g", "line 4, column 8: AAAA: "),
        ("\n\na MX mx", "line 6, column 6: MX takes 2 fields, not 1"),
        ("a MX 65536 mx", "line 4, column 6: MX: '65536' is not a number up to 65535"),
        ('a TXT (\n"x"', "line 4, column 7: a parenthesis is never closed"),
        ("a TXT )", "line 4, column 7: parentheses do not match"),
        ('a TXT "x', "line 4, column 7: cannot read '\"x'"),
        ("a BOGUS 0 0 1 b", "line 4, column 3: record type 'BOGUS' is not one of SOA,"),
        ("a CH A 1.2.3.4", "line 4, column 3: class CH"),
        ("a", "line 4, column 1: the record type is missing"),
        ("a..b A 1.2.3.4", "line 4, column 1: 'a..b' is no domain name"),
        (f"{'a' * 64} A 1.2.3.4", "longer than 63"),
        ("a 3000000000 A 1.2.3.4", "line 4, column 3: TTL 3000000000 is above"),
        ("$INCLUDE other", "line 4, column 1: $INCLUDE is not followed"),
        ("a.other.test. A 1.2.3.4", "outside the zone example.test."),
        ("a CNAME b\na A 1.2.3.4", "a.example.test. has a CNAME beside other data"),
        ("a CNAME b\na CNAME c", "a.example.test. has a CNAME beside other data"),
        ("@ SOA ns h 2 1 1 1 1", "exactly one SOA"),
    ],
)
def test_a_zone_error_names_the_line_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ZoneError) as caught:
        load_zone("example.test", SOA + text)
    assert reason in str(caught.value)


def test_the_first_record_needs_an_owner_and_a_ttl() -> None:
    with pytest.raises(ZoneError, match="line 1, column 2: the first record has no owner"):
        load_zone("example.test", " A 1.2.3.4")
    with pytest.raises(ZoneError, match="line 1, column 1: no TTL"):
        load_zone("example.test", "@ A 1.2.3.4")


def test_a5_a_null_mx_beside_others_is_a_zone_error_unless_asked_for() -> None:
    text = SOA + "@ MX 0 .\n@ MX 10 mx"
    with pytest.raises(ZoneError, match="null MX beside other MX records"):
        load_zone("example.test", text)
    assert load_zone("example.test", text, strict=False).problems


def test_a6_an_mx_that_is_a_cname_is_a_warning() -> None:
    zone = load_zone("example.test", SOA + "@ MX 10 www\nwww CNAME mx\nmx A 1.2.3.4")
    assert zone.warnings == ("example.test. MX www.example.test. is a CNAME (RFC 2181 §10.3)",)


def test_a_zone_written_out_reads_the_same() -> None:
    zone = load_zone("example.test", ZONE)
    assert load_zone("example.test", "\n".join(zone.text())).text() == zone.text()


def only(all_zones: Zones, origin: str) -> Zone:
    zone = all_zones.find(parse_name(origin))
    assert zone is not None
    return zone


def test_an_update_raises_the_serial_once_and_wraps_around() -> None:
    all_zones = Zones()
    all_zones.replace("example.test", SOA)
    change = all_zones.update("example.test", ["a A 10.0.0.1", "a A 10.0.0.2"], [])
    assert only(all_zones, "example.test").serial == 0
    assert change.added[-2:] == (
        "a.example.test. 60 IN A 10.0.0.1",
        "a.example.test. 60 IN A 10.0.0.2",
    )
    undone = all_zones.update("example.test", [], ["A.EXAMPLE.TEST. A"])
    assert undone.zone.serial == 1
    assert all_zones.update("example.test", [], ["a A"]).zone.serial == 1  # nothing to do


def test_a_refused_update_changes_nothing() -> None:
    all_zones = zones()
    before = only(all_zones, "example.test")
    for add, remove in (
        (["www A 10.0.0.1"], []),
        (["@ MX 0 ."], []),
        ([], ["@ SOA"]),
        (["x A"], []),
        ([], ["x"]),
    ):
        with pytest.raises(ZoneError):
            all_zones.update("example.test", add, remove)
    with pytest.raises(ZoneError, match=r"no zone nowhere.test. here"):
        all_zones.update("nowhere.test", [], [])
    assert only(all_zones, "example.test") is before


def test_the_zone_with_the_longest_origin_answers() -> None:
    all_zones = zones()
    all_zones.replace("sub.example.test", SOA)
    assert only(all_zones, "x.sub.example.test").origin == parse_name("sub.example.test")
    assert only(all_zones, "xsub.example.test").origin == parse_name("example.test")
    assert all_zones.find(parse_name("test")) is None


WORDS = st.sampled_from(
    ["@", "a", "b.", "$TTL", "$ORIGIN", "60", "IN", "A", "MX", "TXT", "SOA", "CNAME", "1.2.3.4",
     "(", ")", '"', ";", "\\", "\\300", "\n", "\n ", " ", ".", "..", "é", "\x00"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=20).map(" ".join)))
def test_any_text_is_a_zone_or_a_zone_error(text: str) -> None:
    try:
        zone = load_zone("example.test", SOA + text)
    except ZoneError:
        return
    again = load_zone("example.test", "\n".join(zone.text()))
    assert again.text() == zone.text()
