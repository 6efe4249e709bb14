"""The client's own record of its transactions."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mxlab_services.control.replies import RecordEntry
from mxlab_services.runtime import Journal
from mxlab_services.storage.history import FileJournal
from mxlab_services.storage.memory import MemoryJournal
from mxlab_services.storage.memory_disk import MemoryDisk


class Ticks:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        self.now += 1.0
        return self.now

    def real(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    if request.param == "file":
        return FileJournal(tmp_path / "data" / "record.jsonl", Ticks())
    return MemoryJournal(MemoryDisk(), Ticks())


def test_a_transaction_is_on_record_from_its_beginning_to_its_end(journal: Journal) -> None:
    assert journal.entries() == []
    journal.invoked("<1@c>", ["a@x.test", "b@x.test"], "mx1")
    assert [(e.recipient, e.outcome, e.at) for e in journal.entries()] == [
        ("a@x.test", "invoked", 1.0),
        ("b@x.test", "invoked", 1.0),
    ]
    journal.ended("<1@c>", "b@x.test", "mx1", "refused", "550 5.1.1 ünknown")
    journal.ended("<1@c>", "a@x.test", "mx1", "acked", "250 ok")
    assert journal.entries() == [
        RecordEntry("<1@c>", "a@x.test", "mx1", "acked", "250 ok", 3.0),
        RecordEntry("<1@c>", "b@x.test", "mx1", "refused", "550 5.1.1 ünknown", 2.0),
    ]


def test_tries_at_one_host_are_told_apart_and_keep_their_order(journal: Journal) -> None:
    journal.invoked("<1@c>", ["a@x.test"], "mx1")
    journal.ended("<1@c>", "a@x.test", "mx1", "unknown", "")
    journal.invoked("<1@c>", ["a@x.test"], "mx1")
    journal.invoked("<1@c>", ["a@x.test"], "mx2")
    journal.ended("<1@c>", "a@x.test", "mx2", "acked", "250")
    assert [(e.host, e.outcome) for e in journal.entries()] == [
        ("mx1", "unknown"), ("mx1", "invoked"), ("mx2", "acked"),
    ]  # fmt: skip


def test_the_end_of_a_transaction_whose_begin_is_not_on_record_is_kept(journal: Journal) -> None:
    journal.ended("<1@c>", "a@x.test", "mx1", "acked", "250")
    assert [e.outcome for e in journal.entries()] == ["acked"]


def test_the_record_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    first = FileJournal(path, Ticks())
    first.invoked("<1@c>", ["a@x.test"], "mx1")
    first.close()
    second = FileJournal(path, Ticks())
    second.invoked("<2@c>", ["a@x.test"], "mx1")
    assert [(e.message, e.outcome) for e in second.entries()] == [
        ("<1@c>", "invoked"), ("<2@c>", "invoked"),
    ]  # fmt: skip
    second.close()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_last_line_cut_short_is_taken_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "record.jsonl"
    first = FileJournal(path, Ticks())
    first.invoked("<1@c>", ["a@x.test"], "mx1")
    first.invoked("<2@c>", ["a@x.test"], "mx1")
    first.close()
    path.write_bytes(path.read_bytes()[:-cut])
    second = FileJournal(path, Ticks())
    assert [e.message for e in second.entries()] == ["<1@c>"]
    second.invoked("<3@c>", ["a@x.test"], "mx1")
    assert [e.message for e in second.entries()] == ["<1@c>", "<3@c>"]
    second.close()


def test_the_record_is_kept_over_a_crash_of_the_disk() -> None:
    disk = MemoryDisk()
    MemoryJournal(disk, Ticks()).invoked("<1@c>", ["a@x.test"], "mx1")
    disk.crash()
    assert len(MemoryJournal(disk, Ticks()).entries()) == 1


CHILD = """
import os, sys
from pathlib import Path
from mxlab_services.storage.history import FileJournal
from mxlab_services.clock import ScaledClock
journal = FileJournal(Path(sys.argv[1]), ScaledClock())
n = 0
while True:
    journal.invoked(f"<{n}@c>", ["a@x.test"], "mx1")
    os.write(1, f"{n}\\n".encode())
    n += 1
"""


def test_what_was_written_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(500)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    whole = [line for line in told if line.endswith(b"\n")]
    journal = FileJournal(path, Ticks())
    entries = journal.entries()
    journal.close()
    assert len(entries) >= len(whole)
    assert [e.message for e in entries] == [f"<{n}@c>" for n in range(len(entries))]
