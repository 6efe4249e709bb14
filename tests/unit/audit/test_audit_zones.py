"""Zone files as people and programs write them, judged by their text alone."""

import pytest

from mxlab.audit.every import hold
from mxlab.audit.judging import RuleOutcome
from mxlab.audit.of_zone import setup_of_zone
from mxlab.errors import ScenarioError, UsageError

HEAD = """\
$ORIGIN acme.example.
$TTL 3600
@ IN SOA ns1 hostmaster (7 4h 1h 2w 10m)
@ IN NS ns1
@ IN NS ns2.provider.example.
ns1 IN A 192.0.2.1
mail IN A 192.0.2.2
"""


def judged(lines: str, head: str = HEAD) -> dict[str, RuleOutcome]:
    setup = setup_of_zone(head + lines, "acme.example", "acme.zone")
    return {one.id: one for one in hold(setup)}


def broken(lines: str, head: str = HEAD) -> dict[str, list[tuple[str, str]]]:
    found = judged(lines, head)
    return {
        name: [(flaw.place, flaw.text) for flaw in one.flaws]
        for name, one in found.items()
        if one.flaws
    }


def test_a_sound_zone_breaks_nothing_and_what_it_does_not_show_is_not_kept() -> None:
    found = judged("@ IN MX 10 mail\n@ IN MX 20 backup.provider.example.\n")
    assert not [name for name, one in found.items() if one.flaws]
    for name in ("backup-lifetime", "backup-knows-recipients", "no-open-relay", "same-serial"):
        assert found[name].outcome == "not seen"
    assert found["two-exchanges"].outcome == "kept"
    assert found["exchange-has-address"].outcome == "not seen"  # of the provider's
    assert "backup.provider.example" in found["exchange-has-address"].unseen[0]


def test_each_flaw_has_its_line_and_column() -> None:
    found = broken("@ IN MX 10 mail\n   IN MX 20 gone\n")
    assert found["exchange-has-address"] == [
        ("acme.zone:9:4", "the exchange gone.acme.example has no address")
    ]


@pytest.mark.parametrize(
    ("lines", "rule", "said"),
    [
        ("@ MX 10 mail\n", "two-exchanges", "is the only exchange"),
        ("@ A 192.0.2.9\n", "two-exchanges", "its own address"),
        ("@ MX 10 mail\n@ MX 20 alias\nalias CNAME mail\n", "exchange-no-alias", "alias.acme"),
        ("@ MX 10 a\na CNAME b\nb CNAME a\n", "exchange-has-address", "has no address"),
        ("@ MX 10 192.0.2.9\n", "exchange-by-name", "192.0.2.9.acme.example."),
        ("@ MX 10 192.0.2.9.\n", "exchange-by-name", "192.0.2.9."),
        ("@ MX 10 [192.0.2.9]\n", "exchange-by-name", "[192.0.2.9]"),
        ("@ MX 0 .\n@ MX 10 mail\n", "null-mx-alone", "beside it"),
        ("sub MX 0 .\nsub MX 10 mail\n", "null-mx-alone", "sub.acme.example"),
        ("@ MX 10 mail\n@ MX 10 b\nb A 198.51.100.1\n", "order-is-meant", "same preference"),
        ("@ MX 10 six\nsix AAAA 2001:db8::1\n", "ipv4-too", "IPv6 addresses alone"),
        ("@ 604800 MX 10 mail\n", "ttl-fits", "7d"),
        ("@ 5 MX 10 mail\n", "ttl-fits", "5s only"),
        ("@ 60 MX 10 mail\n@ 90 MX 20 mail2\n", "ttl-fits", "several TTLs"),
        ("@ MX 1 mail\n@ MX 2 b\nb A 192.0.2.7\n", "exchanges-apart", "192.0.2.0/24"),
        ("@ NS gone\n", "name-servers-answer", "gone.acme.example has no address"),
    ],
)
def test_what_is_wrong_is_found(lines: str, rule: str, said: str) -> None:
    assert any(said in text for _, text in broken(lines)[rule]), broken(lines)


def test_an_address_in_the_place_of_a_name_is_told_once() -> None:
    assert "exchange-has-address" not in broken("@ MX 10 192.0.2.9.\n")


def test_a_domain_that_takes_no_mail_breaks_nothing() -> None:
    assert not broken("@ MX 0 .\n")
    assert judged("@ MX 0 .\n")["null-mx-alone"].outcome == "kept"
    assert not broken("www A 192.0.2.9\n")


def test_a_domain_that_is_an_alias_cannot_have_mail_of_its_own() -> None:
    found = broken("@ CNAME other.example.\n@ MX 10 mail\n")
    assert "alias (CNAME)" in found["exchange-no-alias"][0][1]


def test_what_lies_below_a_cut_is_not_seen() -> None:
    found = judged("@ MX 10 mx.sub\nsub NS ns.sub\nns.sub A 192.0.2.5\n")
    assert found["exchange-has-address"].outcome == "not seen"


def test_every_name_with_an_mx_is_judged() -> None:
    found = broken("@ MX 10 mail\n@ MX 20 b.provider.example.\nsub MX 10 nobody\n")
    assert found["two-exchanges"][0][1] == (
        "nobody.acme.example is the only exchange of sub.acme.example"
    )
    assert "nobody.acme.example" in found["exchange-has-address"][0][1]


def test_a_wildcards_address_is_an_address() -> None:
    assert "exchange-has-address" not in broken("@ MX 10 any\n* A 192.0.2.9\n")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEAD,
        HEAD.replace("\n", "\r\n"),
        HEAD.replace("(7 4h 1h 2w 10m)", "(\n 7 ; serial\n 14400\n 3600 1209600\n 600 )"),
    ],
)
def test_it_is_read_however_it_is_written(text: str) -> None:
    assert broken("@ IN MX 10 gone\n", text)["exchange-has-address"]


def test_names_beyond_ascii_are_their_a_labels() -> None:
    text = HEAD.replace("acme", "bücher") + "@ MX 10 gone\n"
    (flaw,) = next(
        one.flaws
        for one in hold(setup_of_zone(text, "bücher.example", "f"))
        if one.id == "exchange-has-address"
    )
    assert flaw.text == "the exchange gone.xn--bcher-kva.example has no address"


def test_each_wrong_line_is_told_and_no_zone_is_refused() -> None:
    with pytest.raises(ScenarioError) as caught:
        judged("x A 300.1.1.1\ny MX\n")
    assert [error.line for error in caught.value.every] == [8, 9]
    with pytest.raises(UsageError, match="one SOA"):
        setup_of_zone("", "acme.example", "f")


def test_times_of_the_soa_that_do_not_fit_are_told_each() -> None:
    head = HEAD.replace("(7 4h 1h 2w 10m)", "7 100 200 250 60")
    texts = [text for _, text in broken("", head)["soa-times"]]
    assert len(texts) == 3
