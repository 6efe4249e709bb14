"""Lines of pipes and of files that are followed."""

import os
from pathlib import Path

from mxlab_services.products.lines import LONGEST, FollowedFile, Lines


def test_lines_come_whole_whatever_the_pieces() -> None:
    for size in (1, 2, 3, 100):
        heard: list[bytes] = []
        lines = Lines(heard.append)
        written = b"one\r\ntwo\n\n\xff three\n last"
        for start in range(0, len(written), size):
            lines.feed(written[start : start + size])
        assert heard == [b"one", b"two", b"", b"\xff three"]
        lines.end()
        lines.end()
        assert heard[4:] == [b" last"]


def test_a_line_that_never_ends_is_cut() -> None:
    heard: list[bytes] = []
    lines = Lines(heard.append)
    for _ in range(5):
        lines.feed(b"x" * LONGEST)
    assert heard == [b"x" * LONGEST] * 4
    lines.feed(b"\nnext\n")
    assert heard[4:] == [b"x" * LONGEST, b"next"]


def test_a_file_is_followed_from_its_end(tmp_path: Path) -> None:
    path, heard = tmp_path / "log", list[bytes]()
    path.write_bytes(b"old\n")
    followed = FollowedFile(path, heard.append)
    with path.open("ab") as file:
        file.write(b"ne")
        file.flush()
        followed.read()
        assert heard == []
        file.write(b"w\nmo")
    followed.read()
    assert heard == [b"new"]
    followed.close()
    assert heard == [b"new", b"mo"]


def test_a_file_is_followed_when_it_appears_is_moved_away_or_cut(tmp_path: Path) -> None:
    path, heard = tmp_path / "log", list[bytes]()
    followed = FollowedFile(path, heard.append)
    followed.read()
    path.write_bytes(b"first\nhalf")
    followed.read()
    path.rename(tmp_path / "log.1")
    followed.read()  # nobody has made another yet
    with (tmp_path / "log.1").open("ab") as file:
        file.write(b" a line\n")
    path.write_bytes(b"second\n")
    followed.read()
    assert heard == [b"first", b"half a line", b"second"]
    os.truncate(path, 0)
    followed.read()
    with path.open("ab") as file:
        file.write(b"3\n")
    followed.read()
    assert heard[3:] == [b"3"]
    path.rename(tmp_path / "log.2")
    path.write_bytes(b"4\n")
    (tmp_path / "log.2").unlink()
    followed.read()
    assert heard[4:] == [b"4"]
    followed.close()
