"""What a peer, a message, a name or a file brought does nothing to whoever reads it."""

import json
import unicodedata
from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest

from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario
from mxlab.report.document import to_json
from mxlab.report.html import html
from mxlab.report.junit import junit
from mxlab.report.text import text
from mxlab.visible import exact_json, shown_json, visible, visible_text
from tests.harm import HARM, harmful
from tests.support.reports import data_of, result


@pytest.mark.parametrize(
    ("brought", "shown"),
    [
        ("plain, é, 漢字 and 😀", "plain, é, 漢字 and 😀"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # CSI in one character
        ("a\0b\x7f", r"a\x00b\x7f"),
        ("over\rwritten", r"over\rwritten"),
        ("two\nlines", r"two\nlines"),
        ("\u2028\u2029\u0085", r"\u2028\u2029\x85"),
        ("txt.\u202egpj\u2066\u2069", r"txt.\u202egpj\u2066\u2069"),
        ("bo\u200bb\ufeff\u2060", r"bo\u200bb\ufeff\u2060"),
        ("caf\udce9", r"caf\xe9"),  # Latin-1, as surrogateescape holds it
        ("\ud83d alone", r"\ud83d alone"),
        ("\U000e0041 tag", r"\U000e0041 tag"),
    ],
)
def test_a_line_shows_what_it_brought(brought: str, shown: str) -> None:
    assert visible(brought) == shown
    assert visible(shown) == shown
    assert not harmful(shown)


def test_every_character_is_harmless() -> None:
    every = "".join(map(chr, range(0x110000)))
    assert not harmful(visible(every))
    kept = visible_text("a\tb\r\nc\rd")
    assert kept == "a\tb\nc\\rd"


def test_letters_and_signs_of_every_script_stay() -> None:
    letters = "".join(
        sign
        for sign in map(chr, range(0x30000))
        if unicodedata.category(sign)[0] in "LMNPSZ"
        and unicodedata.category(sign) not in ("Zl", "Zp")
        and sign not in "\u115f\u1160\u3164\uffa0"  # letters that show as nothing
    )
    assert visible(letters) == letters


def test_json_is_exact_and_harmless() -> None:
    value = {"subject": HARM, 'quoted \\ "': ["\\x1b", "\\u001b"]}
    encoded = exact_json(value)
    assert json.loads(encoded) == value
    assert not harmful(encoded)
    shown = json.loads(shown_json(value))
    assert shown["subject"] == visible(HARM)
    assert shown['quoted \\ "'] == value['quoted \\ "']


class TestReports:
    ran = replace(
        result(Finding(f"check {HARM}", Verdict.FAIL, f"text {HARM}", (f"detail {HARM}",), HARM)),
        scenario=Scenario(title=f"A {HARM}", steps=(), expect=(), id=f"s{HARM}"),
        replay=f"mxlab run {HARM}",
    )

    def test_text(self) -> None:
        said = text(self.ran)
        assert not harmful(said)
        assert visible(HARM) in said

    def test_junit(self) -> None:
        said = junit([self.ran])
        assert not harmful(said)
        failure = next(Xml.fromstring(said).iter("failure"))
        assert failure.get("message") == f"text {visible(HARM)}"

    def test_html(self) -> None:
        page = html([self.ran])
        assert not harmful(page)
        shown = data_of(page)[0]
        assert shown["title"] == f"A {visible(HARM)}"
        assert not harmful("".join(map(str, shown["findings"])))

    def test_json(self) -> None:
        said = to_json(self.ran)
        assert not harmful(said)
        assert json.loads(said)["title"] == f"A {HARM}"
