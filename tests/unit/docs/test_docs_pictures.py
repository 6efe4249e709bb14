"""The README's pictures are what mxlab draws and says today."""

import json
from xml.etree import ElementTree as Xml

import pytest

from tests.support.recording import (
    COLUMNS,
    PROMPT,
    ROOT,
    ROWS,
    Said,
    picture,
    pictures,
    played,
    rows,
    timed,
    tour,
)

FOLDER = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pictures()


def changed(made: dict[str, str], there: dict[str, str]) -> list[str]:
    return [name for name in made if made[name] != there.get(name)]


def test_what_is_kept_is_what_is_made_byte_for_byte(made: dict[str, str]) -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert there.keys() == made.keys()
    assert changed(made, there) == [], "make pictures"


def test_this_check_can_fail(made: dict[str, str]) -> None:
    other = made | {"tour.cast": made["tour.cast"].replace("mx2", "mx3", 1)}
    assert changed(made, other) == ["tour.cast"]
    assert changed(made, {}) == list(made)


def test_the_readme_shows_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](docs/pictures/lab.svg)" in readme
    assert "](docs/pictures/tour.svg)" in readme


def test_the_recording_is_of_the_readmes_tour(made: dict[str, str]) -> None:
    commands = tour((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(commands) >= 10
    head, *events = map(json.loads, made["tour.cast"].splitlines())
    assert (head["version"], head["width"], head["height"]) == (2, COLUMNS, ROWS)
    assert all(kind == "o" for _, kind, _ in events)
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    screen = "".join(text for _, _, text in events).split("\r\n")
    assert [line.removeprefix(PROMPT) for line in screen if line.startswith(PROMPT)] == [
        *commands,
        "",
    ]
    assert max(map(len, screen)) <= COLUMNS
    assert "mx1 is stopped" in screen
    assert any("in 3 Requests." in line for line in screen)


def test_the_animation_has_every_row_and_ends_with_the_last_screen(made: dict[str, str]) -> None:
    root = Xml.fromstring(made["tour.svg"])
    assert made["tour.svg"].count("http") == 1
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    said = timed(played(tour((ROOT / "README.md").read_text(encoding="utf-8"))))
    assert [text.text or "" for text in texts] == [row.text for row in rows(said)]
    assert f"translateY({-(len(texts) - ROWS) * 16}px);animation" in made["tour.svg"]
    assert "prefers-reduced-motion" in made["tour.svg"]


def test_a_command_that_fails_is_no_tour() -> None:
    with pytest.raises(AssertionError, match="mxlab kill nobody"):
        played(["mxlab kill nobody"])


def test_wicked_output_stays_text() -> None:
    Xml.fromstring(picture([Said(0, "</text><script>\x1b[2J&\u202e\r\n"), Said(1, "$ ")]))
