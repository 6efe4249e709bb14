"""`mxlab capture` from records: what is no record, what cannot be written, what is damaged."""

from collections.abc import Generator
from pathlib import Path

import pytest

from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.packets.saving import save
from mxlab.scenario.load import load_file, loads
from tests.support.bundles import bundled
from tests.support.captures import capture, recorded

STORY = """\
mxlab: 1
title: A short story
steps:
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 30s, delivered: one}
expect: [nothing-lost]
"""
SECTION = b"\x0a\x0d\x0d\x0a"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(loads(STORY), tmp_path_factory.mktemp("run"))[1]


def test_a_recording_and_a_bundle_come_to_the_same_packets(run: Path, tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(STORY)
    bundled(load_file(tmp_path / "scenario.yaml"), tmp_path / "run.zip")
    for source, name in ((run, "a"), (tmp_path / "run.zip", "b")):
        assert capture(str(source), "-o", str(tmp_path / name)).exit_code == 0
    one, other = (tmp_path / name for name in "ab")
    assert one.read_bytes().startswith(SECTION)
    assert len(one.read_bytes()) == len(other.read_bytes())


def test_it_says_what_is_in_it(run: Path, tmp_path: Path) -> None:
    done = capture(str(run), "-o", str(tmp_path / "x.pcapng"))
    assert done.stdout.endswith("x.pcapng: 1 conversations, 5 questions, from the record\n")
    told = capture(str(run), "-o", str(tmp_path / "x.pcapng"), "--json")
    assert '"conversations": 1' in told.stdout


def test_standard_output_gets_the_packets_alone(run: Path) -> None:
    done = capture(str(run), "-o", "-")
    assert done.exit_code == 0
    assert done.stdout_bytes.startswith(SECTION)
    assert "from the record" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["RUN"], 2, "-o"),
        (["NOWHERE", "-o", "OUT"], 2, "cannot be read"),
        (["FOLDER", "-o", "OUT"], 2, "cannot be read"),
        (["EMPTY", "-o", "OUT"], 2, "no recorded run"),
        (["TEXT", "-o", "OUT"], 2, "no recorded run"),
        (["CUT", "-o", "OUT"], 4, "cut off"),
        (["ZIP", "-o", "OUT"], 4, "cut off"),
        (["RUN", "-o", "FOLDER"], 2, "is a folder"),
        (["RUN", "-o", "NOWHERE/x"], 2, "no folder"),
        (["RUN", "-o", "/proc/x"], 2, "cannot be written"),
        (["RUN", "-o", "-", "--json"], 2, "standard output"),
        (["RUN", "-o", "/dev/full"], 3, "to its end"),
        (["--lab", "no-such-lab", "-o", "OUT"], 3, "is up"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    run: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    whole = run.read_bytes()
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "EMPTY").write_bytes(b"")
    (tmp_path / "TEXT").write_bytes(b"hello\n\xff\n")
    (tmp_path / "CUT").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "ZIP").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "RUN").write_bytes(whole)
    before = sorted(tmp_path.iterdir())
    paths = [str(tmp_path / word) if word[:1].isupper() else word for word in words]
    done = capture(*paths)
    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert sorted(tmp_path.iterdir()) == before


def test_of_a_damaged_recording_it_writes_what_is_left(run: Path, tmp_path: Path) -> None:
    lines = run.read_bytes().splitlines(keepends=True)
    spoilt = tmp_path / "run.jsonl"
    spoilt.write_bytes(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
    done = capture(str(spoilt), "-o", str(tmp_path / "x.pcapng"))
    assert done.exit_code == 4
    assert "may be missing" in done.stderr
    assert b"The record is damaged" in (tmp_path / "x.pcapng").read_bytes()


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"before")

    def blocks() -> Generator[bytes, None, None]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentProblem, match="No space left"):
        save(path, blocks())
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Generator[bytes, None, None]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "x", blocks())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_told_before(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        save(tmp_path / "none" / "x", (block for block in [b""]))
