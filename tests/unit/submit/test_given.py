"""What somebody gives of a message by hand: its bytes are kept, and what can be no mail is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.submit.given import LINE, field_in, whole_message

MOST = 10_000


@given(st.lists(st.binary(max_size=60).filter(lambda line: not set(line) & set(b"\0\r\n"))))
def test_bytes_are_kept_but_for_the_ends_of_lines(lines: list[bytes]) -> None:
    message = [b"Subject: x", b"", *lines]
    wire = b"".join(line + b"\r\n" for line in message)
    for end in (b"\r\n", b"\n", b"\r"):
        whole = whole_message(b"".join(line + end for line in message), MOST)
        assert whole.content == wire


def test_the_last_line_ends() -> None:
    assert whole_message(b"Subject: x\n\nhello", MOST).content == b"Subject: x\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    ("data", "needs"),
    [
        (b"Subject: x\n\nhello\n", (False, False)),
        (b"Subject: x\n\nh\xe9llo\n", (True, False)),
        ("Subject: hé\n\nhello\n".encode(), (True, True)),
    ],
)
def test_the_content_says_what_it_needs(data: bytes, needs: tuple[bool, bool]) -> None:
    whole = whole_message(data, MOST)
    assert (whole.eightbit, whole.utf8) == needs


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"Subject: x\nMessage-ID: <a@b.test>\n\n", "<a@b.test>"),
        (b"message-id:\n <a@b.test>\nSubject: x\n\n", "<a@b.test>"),
        (b"Subject: x\n\nMessage-ID: <a@b.test>\n", ""),
    ],
)
def test_the_message_id_is_that_of_the_header(data: bytes, found: str) -> None:
    assert whole_message(data, MOST).message_id == found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin with a header"),
        (b"\nhello\n", "does not begin with a header"),
        (b"hello\n", "line 1: no header field: 'hello'"),
        (b" folded: x\n\n", "line 1: no header field"),
        (b"From a@b Fri Nov 27\nTo: b\n\n", "a mailbox file's first line"),
        (b"To: b\nhello\n\n", "line 2: no header field"),
        (b"To: b\n\n\0\n", "line 3: a NUL"),
        (b"To: b\n\n" + b"x" * (LINE + 1), f"line 3: {LINE + 1} octets"),
        (b"Subject: \xe9\n\n", "line 1: octets in the header"),
        (b"To: b\n" * MOST, "more than the 10000"),
    ],
)
def test_what_is_no_message_is_told_with_its_line(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", "\\(")):
        whole_message(data, MOST)


def test_a_line_of_just_the_most_octets_passes() -> None:
    assert whole_message(b"To: b\n\n" + b"x" * LINE, MOST).content.endswith(b"x\r\n")


@pytest.mark.parametrize(
    "line", ["X-A", ": b", "X A: b", "X-A: b\r\nBcc: c", "X-Ä: b", "X-A: \x1b"]
)
def test_what_is_no_header_field_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"NAME: VALUE|no name|control character"):
        field_in(line)


def test_a_header_field_has_a_name_and_a_text() -> None:
    assert field_in("X-A:  b: c ") == ("X-A", "b: c")
