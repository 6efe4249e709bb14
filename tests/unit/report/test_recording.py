"""Recorded runs: read back whole, judged to the same findings, never better for being damaged."""

import contextlib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.cli import app
from mxlab.errors import Damaged, UnknownName, UsageError
from mxlab.model.finding import Finding, Verdict, overall
from mxlab.report.document import to_json
from mxlab.report.plain import from_plain, to_plain
from mxlab.report.recording import judge_again, record
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load, loads, scenario_ids

STORY = """\
mxlab: 1
title: A short story
steps:
  - fault: {id: down, kill: mx1}
  - parallel:
      - send: {id: one, from: alice@client.test, to: [bob@example.test, eve@example.test]}
      - wait: 2s
  - eventually: {within: 30s, queue: {host: mx2, holds: one}}
  - heal: down
  - never: {during: 1s, bounced: one}
  - eventually: {within: 5m, delivered: one}
expect: [nothing-lost, {delivered: one}, WORD]
"""


def played(last: str = "all-delivered") -> RunResult:
    story = loads(STORY.replace("WORD", last), "story.yaml", "story")
    return simulate(lambda: runner.run(story, SimBackend(), lab="rec", run_id="rec"))


@pytest.fixture(scope="module")
def good() -> RunResult:
    result = played()
    assert result.verdict is Verdict.PASS
    return result


@pytest.mark.parametrize("last", ["all-delivered", "queued-at-sender"])
def test_a_recording_is_judged_to_the_same_findings(last: str) -> None:
    result = played(last)
    again = judge_again(record(result), "run.jsonl")
    assert again.findings == result.findings
    assert again.exit_code == result.exit_code
    assert to_json(again) == to_json(result)
    assert again.scenario == result.scenario
    assert again.trace.by_node == result.trace.by_node
    assert record(again) == record(result)


@pytest.mark.parametrize("name", scenario_ids())
def test_every_scenario_reads_back_the_same(name: str) -> None:
    scenario = load(name)
    text = msgspec.json.encode(to_plain(scenario))
    assert from_plain(msgspec.json.decode(text, type=dict[str, object])) == scenario


def test_what_the_steps_found_stands_as_recorded(good: RunResult) -> None:
    undo = Finding("undo", Verdict.FAIL, "the lab was not removed")
    wrong = Finding("step 3", Verdict.FAIL, "it never came")
    findings = (wrong, *good.findings, undo)
    result = replace(good, findings=findings, verdict=overall(findings))
    assert judge_again(record(result), "run.jsonl").findings == findings


def test_the_verdict_comes_from_the_evidence_and_not_from_the_file(good: RunResult) -> None:
    """A recording whose own verdicts were wrong is judged by what it holds."""
    lies = tuple(replace_verdict(finding, Verdict.FAIL) for finding in good.findings)
    expected = {"nothing-lost", "all of one is delivered", "all-delivered"}
    again = judge_again(record(replace(good, findings=lies)), "run.jsonl")
    judged = {finding.check for finding in again.findings if finding.verdict is Verdict.PASS}
    assert judged == expected


def replace_verdict(finding: Finding, verdict: Verdict) -> Finding:
    return msgspec.structs.replace(finding, verdict=verdict)


def test_a_gap_in_the_evidence_survives(good: RunResult) -> None:
    again = judge_again(record(good), "run.jsonl")
    again.trace.damage["mx1"] = "the stream broke"
    third = judge_again(record(again), "run.jsonl")
    assert third.verdict is Verdict.UNKNOWN
    assert third.trace.damage == {"mx1": "the stream broke"}


def sealed(lines: list[bytes]) -> bytes:
    """The lines, as if they had been written so."""
    body = b"".join(lines[:-1])
    seal = {"kind": "run.end", "lines": len(lines) - 1, "sha256": sha256(body).hexdigest()}
    return body + msgspec.json.encode(seal) + b"\n"


class TestDamage:
    @pytest.fixture
    def lines(self, good: RunResult) -> list[bytes]:
        return record(good).splitlines(keepends=True)

    def open(self, lines: list[bytes]) -> RunResult:
        result = judge_again(b"".join(lines), "run.jsonl")
        assert result.verdict is Verdict.UNKNOWN
        for finding in result.findings:
            assert finding.verdict is Verdict.UNKNOWN
        return result

    def test_a_missing_line_leaves_it_open(self, lines: list[bytes]) -> None:
        del lines[20]
        assert "not those that were written" in self.open(lines).trace.damage["the recording"]

    def test_a_line_that_cannot_be_read_leaves_it_open(self, lines: list[bytes]) -> None:
        lines[20] = b'{"at": 1,\n'
        lines[30] = b"\xff\xfe\n"
        damage = self.open(lines).trace.damage["the recording"]
        assert damage.startswith("line 21: not an event")
        assert damage.endswith("(and 1 more)")

    def test_a_changed_line_leaves_it_open(self, lines: list[bytes]) -> None:
        number = next(n for n, line in enumerate(lines) if b'"mailbox.delivered"' in line)
        lines[number] = lines[number].replace(b"bob@", b"rob@").replace(b"eve@", b"eva@")
        self.open(lines)

    @pytest.mark.parametrize("keep", [2, 20, -2, -1])
    def test_what_was_cut_off_is_damaged(self, lines: list[bytes], keep: int) -> None:
        with pytest.raises(Damaged, match=r"run\.jsonl is cut off"):
            judge_again(b"".join(lines[:keep]), "run.jsonl")

    @pytest.mark.parametrize("less", [2, 20, 100])
    def test_what_was_cut_within_a_line_is_damaged(self, lines: list[bytes], less: int) -> None:
        with pytest.raises(Damaged, match=r"run\.jsonl is cut off"):
            judge_again(b"".join(lines)[:-less], "run.jsonl")

    @pytest.mark.parametrize("end", [b"", b"\r", b"\r\n", b" \n", b"\n\n", b"\n{}\n"])
    def test_its_end_is_as_it_was_written(self, lines: list[bytes], end: bytes) -> None:
        try:
            self.open([*lines[:-1], lines[-1][:-1] + end])
        except Damaged:
            assert end.endswith((b"\n\n", b"}\n"))

    def test_without_evidence_it_is_damaged(self, lines: list[bytes]) -> None:
        with pytest.raises(Damaged, match="its evidence cannot be read"):
            judge_again(b"".join([*lines[:-2], lines[-1]]), "run.jsonl")

    @pytest.mark.parametrize("spoilt", [b"", b"{}\n", b"\x00\n", b"[" * 100_000 + b"\n"])
    def test_without_its_beginning_it_is_damaged(self, lines: list[bytes], spoilt: bytes) -> None:
        with pytest.raises(Damaged, match="is damaged"):
            judge_again(b"".join([spoilt, *lines[1:]]), "run.jsonl")

    def test_a_failed_step_is_open_where_the_recording_is_damaged(self, good: RunResult) -> None:
        wrong = Finding("step 3", Verdict.FAIL, "it never came")
        data = record(replace(good, findings=(wrong,), verdict=Verdict.FAIL))
        assert judge_again(data, "run.jsonl").verdict is Verdict.FAIL
        lines = data.splitlines(keepends=True)
        del lines[20]
        (step, *_) = self.open(lines).findings
        assert step.text.startswith("it never came (fail, but the recording is damaged")

    def test_each_byte_counts(self) -> None:
        """Each byte of a small recording, and in turn others of a larger one."""
        story = "mxlab: 1\ntitle: t\nsteps: [say: x]\nexpect: [queues-empty]\nidle_passes: true\n"
        small = record(
            simulate(lambda: runner.run(loads(story), SimBackend(), lab="s", run_id="s"))
        )
        assert judge_again(small, "x").verdict is Verdict.PASS
        large = record(played("queued-at-sender"))  # which fails: no byte makes another failure
        assert judge_again(large, "x").verdict is Verdict.FAIL
        places = [(small, n) for n in range(len(small))]
        places += [(large, n) for n in range(0, len(large), 97)]
        for data, n in places:
            for byte in {data[n] ^ 1, data[n] ^ 32, (data[n] + 1) % 256, 13} - {data[n]}:
                spoilt = data[:n] + bytes([byte]) + data[n + 1 :]
                verdicts = {Verdict.UNKNOWN}
                with contextlib.suppress(Damaged):
                    result = judge_again(spoilt, "x")
                    verdicts = {result.verdict, *(found.verdict for found in result.findings)}
                assert verdicts == {Verdict.UNKNOWN}, (n, byte)
        assert Damaged.exit_code == 4

    @pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"mail\n", b"\x00\xff", b"[" * 100_000])
    def test_what_is_no_recording_is_refused(self, data: bytes) -> None:
        with pytest.raises(UsageError, match=r"run\.jsonl is no recorded run"):
            judge_again(data, "run.jsonl")

    def test_another_format_is_refused(self, lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"format":1', b'"format":2')
        with pytest.raises(UsageError, match="is of format 2; this mxlab reads 1"):
            judge_again(sealed(lines), "run.jsonl")
        with pytest.raises(Damaged, match="is of format 2; this mxlab reads 1"):
            judge_again(b"".join(lines), "run.jsonl")

    def test_an_unknown_expectation_is_refused_with_the_nearest(self, lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"nothing-lost"', b'"nothing-lots"')
        with pytest.raises(UnknownName, match="no expectation is called 'nothing-lots'") as told:
            judge_again(sealed(lines), "run.jsonl")
        assert "did you mean 'nothing-lost'?" in told.value.hint
        self.open(lines)  # where it comes of damage, that goes first

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"kill":', b'"klil":'),
            (b'"steps":', b'"stops":'),
            (b'"seconds":30.0', b'"seconds":"long"'),
            (b'"lines":[', b'"lines":[7,'),
            (b'"host":"mx1"', b'"host":1'),
        ],
    )
    def test_a_scenario_that_cannot_be_read_is_refused(
        self, lines: list[bytes], old: bytes, new: bytes
    ) -> None:
        assert old in lines[0]
        lines[0] = lines[0].replace(old, new)
        with pytest.raises(UsageError, match="not a scenario"):
            judge_again(sealed(lines), "run.jsonl")
        with pytest.raises(Damaged, match="not a scenario"):
            judge_again(b"".join(lines), "run.jsonl")


class TestCommands:
    @pytest.fixture
    def story(self, tmp_path: Path) -> Path:
        path = tmp_path / "story.yaml"
        path.write_text(STORY.replace("WORD", "queued-at-backup"))
        return path

    def mxlab(self, *words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    @pytest.mark.parametrize(("expected", "code"), [("all-delivered", 0), ("queued-at-sender", 1)])
    def test_check_says_what_run_said(
        self, story: Path, tmp_path: Path, expected: str, code: int
    ) -> None:
        story.write_text(STORY.replace("WORD", expected))
        kept = tmp_path / "run.jsonl"
        run = self.mxlab("run", story, "--backend", "sim", "--record", kept, code=code)
        assert self.mxlab("check", kept, code=code).stdout.strip() == run.stdout.strip()

    def test_check_makes_the_same_reports(self, story: Path, tmp_path: Path) -> None:
        def files(word: str) -> list[Path]:
            return [tmp_path / f"{word}.{kind}" for kind in ("html", "xml", "json")]

        def options(word: str) -> list[object]:
            named = zip(("--html", "--junit", "--report"), files(word), strict=True)
            return [part for pair in named for part in pair]

        kept = tmp_path / "run.jsonl"
        self.mxlab("run", story, "--backend", "sim", "--record", kept, *options("run"))
        self.mxlab("check", kept, *options("check"))
        for first, second in zip(files("run"), files("check"), strict=True):
            assert first.read_bytes() == second.read_bytes()

    def test_real_time_is_said_apart_from_lab_time(self, story: Path) -> None:
        story.write_text(STORY.replace("1s", "3d").replace("WORD", "nothing-bounced"))
        run = self.mxlab("run", story, "--backend", "sim", "--json")
        told = msgspec.json.decode(run.stdout)
        assert told["lab_seconds"] > 3 * 86400
        assert 0 < told["real_seconds"] < 60
        assert sum(told["durations"].values()) > 3 * 86400

    @pytest.mark.parametrize("option", ["--record", "--html", "--junit", "--report"])
    def test_a_path_that_cannot_be_written_is_known_before(
        self, story: Path, tmp_path: Path, option: str
    ) -> None:
        long = tmp_path / ("x" * 300)
        for place, said in (
            (tmp_path, "is a folder"),
            (tmp_path / "none" / "x", "is no folder"),
            (long, "cannot be written: File name too long"),
        ):
            run = self.mxlab("run", story, "--backend", "sim", option, place, code=2)
            assert said in run.stderr
            assert run.stdout == ""

    def test_a_path_that_was_looked_at_is_as_before(self, story: Path, tmp_path: Path) -> None:
        kept, new = tmp_path / "kept.html", tmp_path / "new.html"
        kept.write_text("old")
        options = ("--html", kept, "--record", new, "--junit", tmp_path)
        self.mxlab("run", story, "--backend", "sim", *options, code=2)
        assert kept.read_text() == "old"
        assert not new.exists()

    def test_two_reports_in_one_file_are_refused(self, story: Path, tmp_path: Path) -> None:
        path = tmp_path / "report"
        options = ("--html", path, "--record", tmp_path / "." / "report")
        run = self.mxlab("run", story, "--backend", "sim", *options, code=2)
        assert "two reports cannot both be" in run.stderr

    def test_a_recording_is_of_one_run(self, story: Path, tmp_path: Path) -> None:
        run = self.mxlab("run", story, story, "--record", tmp_path / "run.jsonl", code=2)
        assert "--record records one run" in run.stderr

    def test_a_recording_that_is_not_there(self, tmp_path: Path) -> None:
        said = self.mxlab("check", tmp_path / "none.jsonl", code=2).stderr
        assert "none.jsonl cannot be read: No such file" in said

    def test_a_damaged_recording_passes_nothing(self, story: Path, tmp_path: Path) -> None:
        kept = tmp_path / "run.jsonl"
        self.mxlab("run", story, "--backend", "sim", "--record", kept)
        lines = kept.read_bytes().splitlines(keepends=True)
        kept.write_bytes(b"".join(lines[:20] + lines[21:]))
        assert "INCONCLUSIVE" in self.mxlab("check", kept, code=4).stdout
        kept.write_bytes(b"".join(lines[:20]))
        assert "is cut off" in self.mxlab("check", kept, code=4).stderr
        kept.write_bytes(b"mail\n")
        assert "is no recorded run" in self.mxlab("check", kept, code=2).stderr
