"""SVG pictures of labs: whole, alone, readable, and said as well as drawn."""

import itertools
import re
from xml.etree import ElementTree as Xml

import pytest

from mxlab.picture.boxes import (
    LETTER,
    MOST_COLUMNS,
    NAME_LETTER,
    PAD,
    Box,
    clipped,
    columns_of,
    folded,
)
from mxlab.picture.diagram import Diagram, ShownHost
from mxlab.picture.layout import laid_out
from mxlab.picture.svg import DARK, LIGHT, TONES, svg
from mxlab.picture.text import text_picture
from tests.support.pictures import NAMES, pictured

SPACE = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_one_file_that_fetches_and_runs_nothing(name: str) -> None:
    text = svg(pictured(name))
    root = Xml.fromstring(text)
    assert {element.tag.removeprefix(SPACE) for element in root.iter()} <= ELEMENTS
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"') == 1
    assert not re.search(r"@import|url\((?!#)|\son\w+=|\bhref", text)


@pytest.mark.parametrize("name", NAMES)
def test_all_of_it_is_said_to_who_does_not_see_it(name: str) -> None:
    diagram = pictured(name)
    root = Xml.fromstring(svg(diagram))
    said = {element.get("id"): element.text for element in root if element.get("id")}
    assert root.get("role") == "img"
    assert set(str(root.get("aria-labelledby")).split()) == set(said)
    assert said["lab-title"] == diagram.title
    assert str(said["lab-desc"]).split("\n") == [line.text for line in text_picture(diagram)]


@pytest.mark.parametrize("name", NAMES)
def test_every_host_domain_and_preference_is_drawn(name: str) -> None:
    diagram = pictured(name)
    drawn = laid_out(diagram)
    assert [box.name for box in drawn.boxes if box.name] == [place.name for place in diagram.places]
    ranks = [str(rank.preference) for book in diagram.domains for rank in book.ranks]
    assert [line.text for line in drawn.lines if line.kind == "mx"] == ranks
    arrows = [line for line in drawn.lines if line.kind == "smarthost"]
    assert len(arrows) == sum(bool(place.smarthost) for place in diagram.places)
    assert sum(line.kind == "copy" for line in drawn.lines) == len(diagram.copies)


def overlap(one: Box, other: Box) -> bool:
    across = one.x < other.x + other.wide and other.x < one.x + one.wide
    return across and one.y < other.y + other.high and other.y < one.y + one.high


def sticks_out(box: Box) -> bool:
    first, *others = (columns_of(line) for line in box.lines)
    room = box.wide - 2 * PAD + 0.01
    return first * NAME_LETTER > room or any(own * LETTER > room for own in others)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_over_anything_or_sticks_out(name: str) -> None:
    drawn = laid_out(pictured(name))
    pairs = itertools.combinations(drawn.boxes, 2)
    assert [(a.lines[0], b.lines[0]) for a, b in pairs if overlap(a, b)] == []
    assert [box.lines for box in drawn.boxes if sticks_out(box)] == []
    for box in drawn.boxes:
        assert 0 < box.x < box.x + box.wide < drawn.wide
        assert 0 < box.y < box.y + box.high < drawn.legend_top < drawn.high


def test_these_checks_can_fail() -> None:
    one = Box("a", "relay", ["a", "x" * 30], "", wide=100, high=50)
    assert overlap(one, Box("b", "relay", ["b"], "", wide=10, high=10, x=90, y=40))
    assert not overlap(one, Box("b", "relay", ["b"], "", wide=10, high=10, x=100, y=0))
    assert sticks_out(one)


def test_a_host_that_does_not_run_looks_otherwise() -> None:
    root = Xml.fromstring(svg(pictured("down")))
    groups = {str(group[0].text).split(",")[0]: group for group in root.iter(f"{SPACE}g")}
    assert groups["mx1"].get("class") == "exchange down"
    assert [text.text for text in groups["mx1"].iter(f"{SPACE}text")][1] == "stopped"
    assert groups["client"].get("class") == "client"


def test_wicked_text_stays_text() -> None:
    evil = "</title><script>alert(1)</script>\"'&\x1b\u202e"
    place = ShownHost("a", "client", domain="d", notes=(evil,), software=evil)
    text = svg(Diagram(evil.replace("\x1b", "").replace("\u202e", ""), (place,), asks="x"))
    assert "<script" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    Xml.fromstring(text)


def test_a_lab_of_name_servers_alone_and_of_nothing_can_be_drawn() -> None:
    Xml.fromstring(svg(Diagram("one", (ShownHost("dns", "dns"),), asks="nobody asks")))
    Xml.fromstring(svg(Diagram("none", ())))


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("which", "colours"), [(0, LIGHT), (1, DARK)])
def test_text_and_lines_can_be_read_in_light_and_dark(which: int, colours: dict[str, str]) -> None:
    for ground in (colours["ground"], colours["box"]):
        for ink in (colours["ink"], colours["soft"], colours["down"], *(t[which] for t in TONES)):
            assert contrast(ink, ground) >= 4.5, (ink, ground)  # WCAG 2.2, 1.4.3
        assert contrast(colours["line"], ground) >= 3
    assert contrast("#ffffff", "#aaaaaa") < 3


def test_long_names_lose_their_middle_and_words_are_kept_whole() -> None:
    assert clipped("a" * 50 + "z", 11) == "aaaaa\u2026aaaz"
    assert columns_of(clipped("例" * 60)) <= MOST_COLUMNS
    assert clipped("short") == "short"
    assert folded("one two three", 7) == ["one two", "three"]
