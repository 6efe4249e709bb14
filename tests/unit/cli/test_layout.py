"""What is printed fits a terminal: words and ids whole, a hanging indent, columns in line."""

import pytest

from mxlab.cli.layout import hanging, laid_out, shortened, width_of

ID = "<238f4bqyj.01b0e1509755@client.client.test>"
LINE = (
    f"       +12s  client  tells alice@client.test that it is failed: notification {ID} (RFC 3464)"
)
HEADINGS = ("N", "NODE", "MAILBOX", "FROM", "DELIVERED", "SUBJECT", "MESSAGE")
ROWS = [
    ("1", "mx1", "bob@example.test", "alice@client.test", "27 Nov 15:45:48", "hello there", ID),
    ("12", "mx1", "carol@example.test", "<>", "27 Nov 15:45:49", "re: hello", ID),
]


@pytest.mark.parametrize("width", [40, 80, 90, 100, 110])
@pytest.mark.parametrize("indent", [4, 21])
def test_a_line_is_broken_between_words_only(width: int, indent: int) -> None:
    lines = hanging(LINE, width, indent)
    assert len(lines) > 1
    assert " ".join(lines).split() == LINE.split()
    assert lines[0].startswith("       +12s  client  ")
    for line in lines:
        assert width_of(line) <= width or len(line.split()) == 1
    inner = min(indent, 4) if width - indent < 24 else indent
    for line in lines[1:]:
        assert line[:inner] == " " * inner
        assert line[inner] != " "


def test_what_fits_or_goes_to_no_terminal_stays_as_it_is() -> None:
    assert hanging(LINE, None, 21) == [LINE]
    assert hanging(LINE, len(LINE), 21) == [LINE]
    assert hanging("", 40, 4) == [""]
    assert hanging("   ", 2, 4) == ["   "]


def test_an_id_that_is_longer_than_the_line_stays_whole() -> None:
    assert ID in hanging(f"notification {ID} was sent", 20, 4)[1]


def test_an_indent_that_leaves_no_room_shrinks() -> None:
    assert hanging(" " * 46 + "bob@example.test", 40, 4) == ["    bob@example.test"]


def test_runs_of_spaces_within_a_line_stay() -> None:
    assert hanging("a  b   c", 80, 2) == ["a  b   c"]
    assert hanging("aaaa  bbbb   cccc dddd", 18, 2) == ["aaaa  bbbb   cccc", "  dddd"]


@pytest.mark.parametrize("width", [40, 80, 90, 100, 110])
def test_a_table_that_is_too_wide_goes_on_in_further_lines(width: int) -> None:
    lines = laid_out(HEADINGS, ROWS, width)
    assert all(width_of(line) <= max(width, 8 + len(ID)) for line in lines)
    text = "\n".join(lines)
    for row in ROWS:
        assert all(cell in text for cell in row)
    assert lines[0].startswith(" N  NODE") or lines[0].startswith("N   NODE")
    assert len(lines) % 3 == 0
    assert len(lines) > 3


def test_a_table_that_fits_is_one_line_a_row() -> None:
    assert len(laid_out(HEADINGS, ROWS, None)) == 3
    assert laid_out(("NAME", "N"), [("a", "5"), ("longer", "10")], 80) == [
        "NAME     N",
        "a        5",
        "longer  10",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert width_of("漢字e\u0301") == 5
    assert laid_out(("A", "B"), [("漢字", "x"), ("abc", "y")], 80)[1:] == ["漢字  x", "abc   y"]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("hello", "hello"),
        ("hello there you", "hello..."),
        ("x" * 20, "xxxxxxxxx..."),
        ("hello big world", "hello big..."),
        ("漢字漢字漢字漢字", "漢字漢字..."),
    ],
)
def test_a_text_is_shortened_between_words(text: str, short: str) -> None:
    assert shortened(text, 12) == short
    assert width_of(short) <= 12
