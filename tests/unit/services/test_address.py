"""What is a mail address, and when two are one."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mxlab_services.address import canonical, distinct, domain_of, local_part_of, problem_of
from mxlab_services.dns.names import name_text, parse_name
from mxlab_services.domain import DomainError, checked, fold_domain
from mxlab_services.errors import ZoneError
from mxlab_services.faults.base import same_address

BOB = "bob@example.test"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (BOB, BOB),
        ("BOB@EXAMPLE.TEST", BOB),
        ('"bob"@EXAMPLE.TEST', BOB),
        (r'"b\ob"@example.test', BOB),
        (r'"\b\o\b"@example.test', BOB),
        ('"a.b"@example.test', "a.b@example.test"),
        ('"a b"@example.test', '"a b"@example.test'),
        (r'"A\ b"@example.test', '"a b"@example.test'),
        ('"a@b"@example.test', '"a@b"@example.test'),
        (r'"a\"b"@example.test', r'"a\"b"@example.test'),
        (r'"a\\b"@example.test', r'"a\\b"@example.test'),
        ('"a..b"@example.test', '"a..b"@example.test'),
        ('""@example.test', '""@example.test'),
        ("Postmaster", "postmaster"),
        ('"Postmaster"', "postmaster"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
        ("bob@bu\u0308cher.example", "bob@xn--bcher-kva.example"),
        ("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example"),
        ("bob@bücher\u3002example", "bob@xn--bcher-kva.example"),
        ("bob@straße.example", "bob@xn--strae-oqa.example"),
        ("JÖRG@example.test", "jörg@example.test"),
        ('"jo\u0308rg"@example.test', "jörg@example.test"),
        ("bob@[10.0.0.1]", "bob@[10.0.0.1]"),
        ("bob@[IPv6:2001:DB8:0:0::1]", "bob@[ipv6:2001:db8::1]"),
        ("bob@[ipv6:::ffff:10.0.0.1]", "bob@[10.0.0.1]"),
    ],
)
def test_an_address_has_one_form(written: str, meant: str) -> None:
    assert canonical(written) == canonical(canonical(written)) == meant


def test_what_needs_its_quotes_is_another_mailbox() -> None:
    forms = ["ab@x.test", '"a b"@x.test', '"a@b"@x.test', '""@x.test', r'"a\"b"@x.test']
    assert len({canonical(form) for form in forms}) == len(forms)
    assert canonical("bob@strasse.example") != canonical("bob@straße.example")


def test_the_parts_are_those_of_the_one_form() -> None:
    assert domain_of('"a@b"@BÜCHER.example') == "xn--bcher-kva.example"
    assert local_part_of('"POSTMASTER"@example.test') == "postmaster"
    assert domain_of("postmaster") == ""


def test_the_first_form_of_an_address_is_kept() -> None:
    given = ["Bob@x.test", "carol@x.test", '"bob"@X.test', "bob@x.test"]
    assert distinct(given, str) == given[:2]


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        (f"{'x' * 300}@example.test", "the local part has 300 octets; at most 64 .*4.5.3.1.1"),
        (f"{'ü' * 33}@example.test", "the local part has 66 octets"),
        (f"bob@{'x.' * 128}test", "the domain has 260 octets; at most 255 .*4.5.3.1.2"),
        (f"{'x' * 64}@{'y.' * 95}test", "the path, .* 4.5.3.1.3"),
        (f"bob@{'x' * 64}.test", "a label of 64 octets, at most 63"),
        (f"bob@ü{'x' * 60}.test", "Label too long"),
        ("bob@-x.test", "no hyphen at either end"),
        ("bob@x-.test", "no hyphen at either end"),
        ("bob@ab--ü.test", "hyphens in 3rd and 4th position"),
        ("bob@♥.test", "U.2665 .* not allowed"),
        ("bob@example.test.", "ends in a dot"),
        ("bob@example..test", "an empty label"),
        ("bob@bücher.example.", "ends in a dot"),
        ("bob@exa mple.test", "is no label"),
        ("bob@[10.0.0.256]", "no address literal"),
        ("bob@[2001:db8::1]", "no address literal"),
        ("bob@[IPv6:10.0.0.1]", "no address literal"),
        ("b ob@example.test", "neither a dot-string nor quoted"),
        ("b..ob@example.test", "neither a dot-string nor quoted"),
        ('"b"ob"@example.test', "neither a dot-string nor quoted"),
        ('"bob\\"@example.test', "neither a dot-string nor quoted"),
        ("b\0b@example.test", "neither a dot-string nor quoted"),
        ('"b\0b"@example.test', "neither a dot-string nor quoted"),
        ("@example.test", "neither a dot-string nor quoted"),
        ("bob", "no @"),
        ("", "no @"),
        ("b\udcffb@example.test", "not UTF-8"),
    ],
)
def test_what_is_no_address_is_told_with_the_rule(address: str, rule: str) -> None:
    wrong = problem_of(address)
    assert wrong is not None
    assert re.search(rule, wrong.text)


@pytest.mark.parametrize(
    "address", [f"{'x' * 64}@{'y.' * 92}test", '""@x.test', "a@_x.test", "a@xn--xn---epa.test"]
)
def test_what_is_just_right_is_taken(address: str) -> None:
    assert problem_of(address) is None


@given(text=st.text(max_size=40))
@example("..")
def test_any_text_has_one_form_and_a_judgement(text: str) -> None:
    for address in (text, f"{text}@example.test", f'"{text}"@example.test', f"bob@{text}"):
        assert canonical(address) == canonical(canonical(address))
        if problem_of(address) is None:
            assert problem_of(canonical(address)) is None


def test_one_domain_in_every_place_where_names_are_compared() -> None:
    forms = ("bücher.example", "BÜCHER.Example.", "xn--bcher-kva.example")
    assert {fold_domain(form) for form in forms} == {"xn--bcher-kva.example"}
    assert {name_text(parse_name(form)).lower() for form in forms} == {"xn--bcher-kva.example."}
    assert same_address("@bücher.example", "bob@xn--bcher-kva.example")
    assert same_address('"bob"@xn--bcher-kva.example', "BOB@bücher.example")
    assert not same_address("@example.test", "bob@sub.example.test")


def test_idna_2008_keeps_what_2003_folded() -> None:
    assert name_text(parse_name("straße.example")) == "xn--strae-oqa.example."


@pytest.mark.parametrize("name", ["♥.test", f"{'ü' * 60}.test", "a\u200cb.test", "ab--ü.test"])
def test_a_wrong_label_is_no_name_in_a_zone(name: str) -> None:
    with pytest.raises(ZoneError, match="no label"):
        parse_name(name)


def test_only_a_genuine_a_label_may_be_a_labs_own() -> None:
    assert checked("xn--bcher-kva.example", genuine=True) == "xn--bcher-kva.example"
    assert checked("xn--zzzzzzz-.example".replace("-.", "9.")) == "xn--zzzzzzz9.example"
    with pytest.raises(DomainError, match="no A-label"):
        checked("xn--zzzzzzz9.example", genuine=True)
