"""A bundle of evidence: the same verdict from the file alone, or what was changed in it."""

import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mxlab.backends.base import Lab
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.bundle import parts as bounds
from mxlab.bundle.gather import Contents, scenario_files
from mxlab.bundle.pack import EvidenceBundle
from mxlab.bundle.parts import (
    LETTERS,
    MAILBOXES,
    MANIFEST,
    NEEDED,
    QUEUES,
    REPORT,
    REPORT_PAGE,
    RUN,
    VERSIONS,
    Difference,
    letter_part,
    path_trouble,
)  # fmt: skip
from mxlab.bundle.verify import CheckedBundle, verify
from mxlab.errors import Damaged, EnvironmentProblem, LabError, UsageError
from mxlab.history.evidence import Evidence
from mxlab.model.finding import Verdict
from mxlab.model.scenario import Scenario
from mxlab.report.text import text
from mxlab.runner.runner import run
from mxlab.scenario.load import load_file
from tests.support.bundles import (
    Parts,
    bundled,
    json_of,
    put_together,
    resealed,
    simulated,
    taken_apart,
)  # fmt: skip

STORY = """\
mxlab: 1
title: A short story
steps:
  - fault: {id: down, kill: mx1}
  - send: {id: one, from: alice@client.test, to: [bob@example.test, '"../x"@example.test']}
  - eventually: {within: 30s, queue: {host: mx2, holds: one}}
  - heal: down
  - eventually: {within: 5m, delivered: one}
expect: [nothing-lost, nothing-altered, {delivered: one}, WORD]
"""
BOB = letter_part("mx1", "bob@example.test", 1)
Tamper = Callable[[Parts], None]


def story_in(folder: Path, last: str = "all-delivered", text: str = STORY) -> Scenario:
    """The story from a file in that folder, `last` the last of what it expects."""
    (folder / "story.yaml").write_text(text.replace("WORD", last))
    return load_file(folder / "story.yaml")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a run that passed, its scenario gone from the disk."""
    folder = tmp_path_factory.mktemp("good")
    result = bundled(story_in(folder), folder / "run.zip")
    assert result.verdict is Verdict.PASS
    (folder / "story.yaml").unlink()
    return folder / "run.zip"


@pytest.fixture
def parts(good: Path) -> Parts:
    return taken_apart(good)


def checked(parts: Parts, folder: Path) -> CheckedBundle:
    return verify(put_together(parts, folder / "x.zip"))


def differs(parts: Parts, folder: Path) -> list[Difference]:
    """In what, where nothing may be concluded any more."""
    found = checked(parts, folder)
    assert found.exit_code == 4
    assert found.differences
    if found.result is not None:
        assert {one.verdict for one in found.result.findings} == {Verdict.UNKNOWN}
    return list(found.differences)


def lines(parts: Parts) -> list[bytes]:
    return parts[RUN].splitlines(keepends=True)


def line_with(parts: Parts, word: bytes) -> int:
    return next(number for number, line in enumerate(lines(parts)) if word in line)


class TestTheSameAgain:
    @pytest.mark.parametrize(("last", "code"), [("all-delivered", 0), ("queued-at-sender", 1)])
    def test_the_verdict_and_every_finding(self, last: str, code: int, tmp_path: Path) -> None:
        result = bundled(story_in(tmp_path, last), tmp_path / "run.zip")
        found = verify(tmp_path / "run.zip")
        assert found.differences == ()
        assert found.result is not None
        assert found.result.findings == result.findings
        assert (found.exit_code, found.exit_code) == (result.exit_code, code)

    def test_in_another_process_and_folder_with_nothing_but_the_file(
        self, good: Path, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-m", "mxlab", "check", str(good)]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (run.returncode, "PASSED" in run.stdout) == (0, True), run.stderr
        assert "as they were written" in run.stdout

    def test_a_failed_step_is_kept(self, tmp_path: Path) -> None:
        text = STORY.replace("5m, delivered", "1s, bounced")
        result = bundled(story_in(tmp_path, "queues-empty", text), tmp_path / "run.zip")
        assert result.verdict is Verdict.FAIL
        found = verify(tmp_path / "run.zip")
        assert (found.differences, found.exit_code) == ((), 1)

    def test_the_same_run_makes_the_same_bytes(self, tmp_path: Path) -> None:
        with simulated(story_in(tmp_path)) as (result, kept):
            for name in ("one", "two"):
                EvidenceBundle(result, kept).write(tmp_path / name)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    def test_it_holds_the_messages_the_report_and_what_made_it(self, parts: Parts) -> None:
        assert {MANIFEST, *NEEDED, "scenario/story.yaml"} < parts.keys()
        assert b"To: bob@example.test" in parts[BOB]
        assert parts[RUN].count(b"\n") == json_of(parts, MANIFEST)["parts"][2]["lines"]["count"]
        assert json_of(parts, VERSIONS)["python"].startswith("CPython 3.")
        assert json_of(parts, QUEUES) == {"mx1": [], "mx2": [], "client": []}
        assert parts[REPORT_PAGE].startswith(b"<!doctype html>")

    def test_a_wicked_address_leads_nowhere(self, parts: Parts) -> None:
        assert not [name for name in parts if path_trouble(name)]
        assert [name for name in parts if "%22..%2Fx%22@example.test" in name]

    def test_the_files_that_a_story_names_are_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "a.eml").write_bytes(b"From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n")
        (tmp_path / "f.py").write_text("async def f(lab):\n    pass\n")
        send = "send: {id: a, from: a@client.test, to: bob@example.test, eml: more/a.eml}"
        steps = f"[{{{send}}}, {{python: f.py:f}}]"
        (tmp_path / "scenario.yaml").write_text(
            f"mxlab: 1\ntitle: t\nsteps: {steps}\nexpect: [nothing-lost]\n"
        )
        story = load_file(tmp_path / "scenario.yaml")
        assert bundled(story, tmp_path / "run.zip").verdict is Verdict.PASS
        packed = taken_apart(tmp_path / "run.zip")
        assert packed["scenario/f.py"] == (tmp_path / "f.py").read_bytes()
        assert packed["scenario/more/a.eml"] == (tmp_path / "more" / "a.eml").read_bytes()
        assert verify(tmp_path / "run.zip").differences == ()
        del packed["scenario/f.py"]
        (told,) = differs(resealed(packed), tmp_path)
        assert (told.part, told.kind) == ("scenario/f.py", "contradiction")
        (tmp_path / "more" / "a.eml").unlink()
        with pytest.raises(UsageError, match="cannot be read"):
            scenario_files(story)

    def test_a_message_that_could_not_be_read_is_told(self, tmp_path: Path) -> None:
        """As where a mail program takes it away between the evidence and the reading."""
        contents = Contents()

        async def witness(lab: Lab, evidence: Evidence) -> None:
            entry = msgspec.structs.replace(evidence.mailboxes["mx1"][0], name="gone")
            boxes = {**evidence.mailboxes, "mx1": (entry, *evidence.mailboxes["mx1"][1:])}
            await contents(lab, msgspec.structs.replace(evidence, mailboxes=boxes))

        story = story_in(tmp_path)
        simulate(lambda: run(story, SimBackend(), lab="b", run_id="b", witness=witness))
        first, *others = contents.letters
        assert (first.part, "no message gone" in first.missing) == ("", True)
        assert [one.missing for one in others] == [""] * len(others)
        assert len(list(contents.whole())) == len(others) > 0
        contents.close()


class TestWhatWasChanged:
    @pytest.mark.parametrize("name", [*NEEDED, BOB, "scenario/story.yaml"])
    def test_each_part_missing_truncated_or_changed(
        self, name: str, parts: Parts, tmp_path: Path
    ) -> None:
        less = {key: data for key, data in parts.items() if key != name}
        (told,) = differs(less, tmp_path)
        assert (told.part, told.kind) == (name, "missing")
        (told,) = differs(parts | {name: parts[name][:-1]}, tmp_path)[:1]
        assert told.part == name
        assert told.kind == ("changed" if name == RUN else "truncated")
        changed = parts[name].replace(b"e", b"o", 1)
        assert changed != parts[name]
        told = differs(parts | {name: changed}, tmp_path)[0]
        assert (told.part, told.kind) == (name, "changed")
        assert (len(told.expected), len(told.found)) == (64, 64)
        assert told.expected != told.found

    def test_a_part_that_was_added(self, parts: Parts, tmp_path: Path) -> None:
        (told,) = differs(parts | {"mailboxes/mx1/x/1.eml": b"x"}, tmp_path)
        assert (told.part, told.kind) == ("mailboxes/mx1/x/1.eml", "added")

    def test_a_part_that_stands_there_twice(self, parts: Parts, tmp_path: Path) -> None:
        path = put_together(parts, tmp_path / "x.zip")
        with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
            zipped.writestr(RUN, parts[RUN])
        (told,) = verify(path).differences
        assert (told.part, told.kind) == (RUN, "added")

    def test_events_in_another_order(self, parts: Parts, tmp_path: Path) -> None:
        moved = lines(parts)
        moved[20], moved[21] = moved[21], moved[20]
        told = differs(parts | {RUN: b"".join(moved)}, tmp_path)[0]
        assert (told.part, told.kind) == (RUN, "reordered")
        assert "another order (line 2" in told.text

    def test_events_less_and_more(self, parts: Parts, tmp_path: Path) -> None:
        less = lines(parts)
        del less[20]
        told = differs(parts | {RUN: b"".join(less)}, tmp_path)[0]
        assert (told.part, told.kind) == (RUN, "truncated")
        assert "follows its event" in told.text
        more = lines(parts)
        more.insert(20, more[20])
        told = differs(parts | {RUN: b"".join(more)}, tmp_path)[0]
        assert (told.part, told.kind) == (RUN, "added")

    def test_a_run_that_was_cut_off(self, parts: Parts, tmp_path: Path) -> None:
        told = differs(parts | {RUN: b"".join(lines(parts)[:20])}, tmp_path)
        assert [one.kind for one in told] == ["truncated", "unreadable"]

    def test_a_byte_anywhere(self, good: Path, tmp_path: Path) -> None:
        """Of the file: it is told, or it was of the zip's own and all parts are as they were."""
        data, path = good.read_bytes(), tmp_path / "x.zip"
        original, told = taken_apart(good), 0
        for place in range(0, len(data), 211):
            path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
            try:
                found = verify(path)
            except LabError as error:
                told += error.exit_code in (2, 4)
                continue
            told += found.exit_code == 4
            if found.exit_code == 0:
                assert taken_apart(path) == original
        assert told > 50

    @pytest.mark.parametrize("keep", [3, 100, -1, -30, -2000])
    def test_a_file_that_was_cut_off(self, keep: int, good: Path, tmp_path: Path) -> None:
        (tmp_path / "x.zip").write_bytes(good.read_bytes()[:keep])
        with pytest.raises(Damaged, match="cut off"):
            verify(tmp_path / "x.zip")


def replaced(name: str, old: bytes, new: bytes, *, of: bytes = b"") -> Tamper:
    """Another text in a part; in a recording in the first line with `of`."""

    def tamper(parts: Parts) -> None:
        if not of:
            assert old in parts[name]
            parts[name] = parts[name].replace(old, new, 1)
            return
        found = lines(parts)
        number = line_with(parts, of)
        assert old in found[number]
        found[number] = found[number].replace(old, new)
        parts[RUN] = b"".join(found)

    return tamper


def without_line(of: bytes) -> Tamper:
    def tamper(parts: Parts) -> None:
        found = lines(parts)
        del found[line_with(parts, of)]
        parts[RUN] = b"".join(found)

    return tamper


def swapped(parts: Parts) -> None:
    found = lines(parts)
    found[20], found[21] = found[21], found[20]
    parts[RUN] = b"".join(found)


def without_letter(parts: Parts) -> None:
    del parts[BOB]


def with_letter(parts: Parts) -> None:
    parts[LETTERS + "mx1/eve@example.test/1.eml"] = parts[BOB]


class TestChecksumsMadeAnew:
    """Whoever changes something can make all checksums anew: it shows where it contradicts."""

    @pytest.mark.parametrize(
        ("tamper", "part", "told"),
        [
            (without_line(b'"mailbox.delivered"'), RUN, "nothing-lost: pass is stored; unknown"),
            (replaced(RUN, b'"pass"', b'"fail"', of=b"run.outcome"), RUN,
             "nothing-lost: fail is stored; pass follows"),
            (replaced(RUN, b"all-delivered", b"queued-at-sender", of=b'"kind":"run",'), RUN,
             "queued-at-sender: no verdict is stored; fail follows"),
            (replaced(RUN, b"all 2 that", b"all 9 that", of=b"run.outcome"), RUN, "is stored;"),
            (swapped, RUN, "another order"),
            (replaced(RUN, b'"format":1', b'"format": 1', of=b'"kind":"run",'), RUN,
             "not as mxlab writes"),
            (replaced(RUN, b'"seed":0', b'"seed":7', of=b'"kind":"run",'), MANIFEST, "seed: 0"),
            (replaced(MANIFEST, b'"pass"', b'"fail"'), MANIFEST, "verdict: fail is stored"),
            (replaced(BOB, b"\r\n\r\n", b"\r\n\r\nmore "), BOB, "it is not the message"),
            (without_letter, BOB, "it is not there"),
            (with_letter, LETTERS + "mx1/eve@example.test/1.eml", "knows no such message"),
            (replaced(MAILBOXES, b"bob@", b"rob@"), MAILBOXES, "not those of the evidence"),
            (replaced(MAILBOXES, b"[", b"{"), MAILBOXES, "not those of the evidence"),
            (replaced(QUEUES, b"mx1", b"mx7"), QUEUES, "not what follows"),
            (replaced(REPORT, b'"pass"', b'"fail"'), REPORT, "not what follows"),
            (replaced(REPORT_PAGE, b"PASSED", b"FAILED"), REPORT_PAGE, "not what follows"),
            (replaced("scenario/story.yaml", b"5m", b"6m"), "scenario/story.yaml",
             "not the same steps"),
            (replaced("scenario/story.yaml", b"kill: mx1", b"kill: mx9"), "scenario/story.yaml",
             "not the story that was played"),
            (replaced("scenario/story.yaml", b"mxlab", b"\xff"), "scenario/story.yaml",
             "not the story"),
            (replaced(VERSIONS, b'"products": {', b'"products": {"mx1": "postfix 3.7"'), VERSIONS,
             "products"),
            (replaced(VERSIONS, b'"mxlab": "', b'"mxlab": "9'), VERSIONS, "is stored; manifest"),
        ],
    )  # fmt: skip
    def test_what_contradicts_is_told(
        self, tamper: Tamper, part: str, told: str, parts: Parts, tmp_path: Path
    ) -> None:
        tamper(parts)
        found = differs(resealed(parts), tmp_path)
        assert [one for one in found if one.part == part and told in one.text], found

    def test_what_is_consistent_is_not_found(self, parts: Parts, tmp_path: Path) -> None:
        """A bundle proves no more than docs/reports.md says."""
        others = {
            key: data.replace(b"A short story", b"A large story") for key, data in parts.items()
        }
        assert checked(resealed(others), tmp_path).exit_code == 0

    def test_what_another_version_judged_is_compared_by_its_meaning(
        self, parts: Parts, tmp_path: Path
    ) -> None:
        for name in (MANIFEST, VERSIONS):
            parts[name] = parts[name].replace(b'"mxlab": "', b'"mxlab": "99.')
        parts[REPORT_PAGE] = b"another page"
        assert checked(resealed(parts), tmp_path).exit_code == 0
        replaced(RUN, b'"pass"', b'"fail"', of=b"run.outcome")(parts)
        found = checked(resealed(parts), tmp_path)
        assert found.exit_code == 4
        assert found.result is not None
        assert "mxlab 99." in text(found.result)


class TestBadInput:
    def refused(self, path: Path, told: str, code: int = 2) -> None:
        with pytest.raises(LabError, match=told) as error:
            verify(path)
        assert error.value.exit_code == code

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("../x", "leads out"), ("a/../../x", "leads out"), ("/etc/x", "an absolute path"),
            ("C:x", "an absolute path"), ("..\\x", "leads out"), ("a\\b", "is no name"),
        ],
    )  # fmt: skip
    def test_a_path_that_leads_out(
        self, name: str, told: str, parts: Parts, tmp_path: Path
    ) -> None:
        self.refused(put_together(parts | {name: b"x"}, tmp_path / "x.zip"), told)
        assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]

    def test_a_bomb_is_not_unpacked(
        self, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = put_together(parts | {BOB: bytes(65 << 20)}, tmp_path / "x.zip")
        assert path.stat().st_size < 1 << 20

        def never(*_: object) -> bytes:
            raise AssertionError("it was unpacked")

        monkeypatch.setattr(zipfile.ZipFile, "open", never)
        self.refused(path, "would have 68157440 bytes")

    def test_many_that_are_large_together(
        self, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mxlab.bundle.unpack.MOST_TOGETHER", 10_000)
        self.refused(put_together(parts, tmp_path / "x.zip"), "bytes together")

    def test_one_that_is_longer_than_it_says(self, parts: Parts, tmp_path: Path) -> None:
        """No more is unpacked than the directory says, and it is told."""
        path = put_together(parts | {QUEUES: bytes(1 << 20)}, tmp_path / "x.zip")
        with zipfile.ZipFile(path) as zipped:
            info = zipped.getinfo(QUEUES)
        data = path.read_bytes()
        sizes = struct.pack("<LLL", zlib.crc32(bytes(1 << 20)), info.compress_size, 1 << 20)
        shorter = struct.pack("<LLL", zlib.crc32(bytes(9)), info.compress_size, 9)
        path.write_bytes(data.replace(sizes, shorter))
        (told, *_) = verify(path).differences
        assert told.part == QUEUES

    def test_a_directory_without_end(
        self, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = bytearray(good.read_bytes())
        struct.pack_into("<L", data, len(data) - 10, 1 << 31)
        (tmp_path / "x.zip").write_bytes(data)
        self.refused(tmp_path / "x.zip", "its directory has 2147483648 bytes")
        struct.pack_into("<L", data, len(data) - 10, 0xFFFFFFFF)
        (tmp_path / "x.zip").write_bytes(data)
        self.refused(tmp_path / "x.zip", "the end of its directory", 4)
        monkeypatch.setattr("mxlab.bundle.unpack.MOST_FILE", 1000)
        self.refused(good, "more than 1000 bytes")

    def test_many_entries(self, parts: Parts, tmp_path: Path) -> None:
        """A large directory (zip64) is read as any other."""
        many = {f"{LETTERS}x/{number}.eml": b"" for number in range(66_000)}
        found = checked(parts | many, tmp_path)
        assert len(found.differences) == len(many)

    @pytest.mark.parametrize(
        ("method", "told"), [(zipfile.ZIP_BZIP2, "method 12"), (zipfile.ZIP_LZMA, "method 14")]
    )
    def test_another_way_to_pack(self, method: int, told: str, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as zipped:
            zipped.writestr(MANIFEST, b"{}")
        self.refused(tmp_path / "x.zip", told)

    def test_an_encrypted_part(self, good: Path, tmp_path: Path) -> None:
        data = bytearray(good.read_bytes())
        data[data.index(b"PK\1\2") + 8] |= 1
        (tmp_path / "x.zip").write_bytes(data)
        self.refused(tmp_path / "x.zip", "is encrypted")

    def test_what_is_no_bundle(self, parts: Parts, tmp_path: Path) -> None:
        path = tmp_path / "x.zip"
        self.refused(put_together({}, path), "is a zip file, and no bundle")
        self.refused(put_together({"a": b"b"}, path), "is a zip file, and no bundle")
        self.refused(put_together(parts | {MANIFEST: b"{}"}, path), "manifest.json is another's")
        self.refused(put_together(parts | {MANIFEST: b"{"}, path), "cannot be read", 4)
        self.refused(put_together(parts | {MANIFEST: b"[" * 100_000}, path), "cannot be read", 4)
        less = {name: data for name, data in parts.items() if name != MANIFEST}
        self.refused(put_together(less, path), "manifest.json is missing", 4)
        self.refused(tmp_path / "none.zip", "No such file")

    def test_a_later_format(self, parts: Parts, tmp_path: Path) -> None:
        parts[MANIFEST] = b'{"kind":"mxlab.bundle","format":2,"mxlab":"3.0","new":[]}'
        path = put_together(parts, tmp_path / "x.zip")
        with pytest.raises(UsageError, match="is of format 2; this mxlab reads 1") as told:
            verify(path)
        assert told.value.hint == "mxlab 3.0 wrote it"

    def test_a_manifest_that_names_a_part_twice(self, parts: Parts, tmp_path: Path) -> None:
        head = json_of(parts, MANIFEST)
        head["parts"].append(head["parts"][0])
        parts[MANIFEST] = msgspec.json.encode(head)
        self.refused(put_together(parts, tmp_path / "x.zip"), "names a part twice", 4)

    def test_an_unfinished_run(self, parts: Parts, tmp_path: Path) -> None:
        """A recording that never was sealed, its checksums in order."""
        whole = resealed(parts)
        head = json_of(whole, MANIFEST)
        unfinished = b"".join(lines(parts)[:-2])
        for part in head["parts"]:
            if part["name"] == RUN:
                part |= {"size": len(unfinished), "sha256": bounds.digest_of(unfinished)}
        whole |= {RUN: unfinished, MANIFEST: msgspec.json.encode(head)}
        (told,) = differs(whole, tmp_path)
        assert (told.part, told.kind) == (RUN, "unreadable")
        assert "is cut off" in told.text

    def test_a_run_that_no_bundle_can_hold(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with simulated(story_in(tmp_path)) as (result, kept):
            for name, most in (("MOST_PARTS", 3), ("MOST_TOGETHER", 1000), ("MOST_FILE", 1000)):
                with monkeypatch.context() as patch:
                    patch.setattr(f"mxlab.bundle.pack.{name}", most)
                    with pytest.raises(EnvironmentProblem, match=f"{most} is the most"):
                        EvidenceBundle(result, kept).write(tmp_path / "run.zip")
        assert [path.name for path in tmp_path.iterdir()] == ["story.yaml"]
