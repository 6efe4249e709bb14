"""A class rehearsed at seats that answer as they are told: what the table says of them."""

import contextlib
import json
from pathlib import Path

import pytest

from mxlab.classroom import rehearse as rehearsal
from mxlab.classroom.rehearse import RehearsalReport, Samples, as_lines, limiting, rehearse
from mxlab.classroom.rehearse import track_exercises as exercises_of
from mxlab.errors import UsageError
from tests.support.classes import FakeClass, served


async def rehearsed(room: FakeClass, up: int = 3) -> RehearsalReport:
    async with contextlib.AsyncExitStack() as stack:
        for seat, port in list(zip(room.seats, room.ports, strict=True))[:up]:
            await stack.enter_async_context(seat.up(port))
        done: list[tuple[int, str]] = []
        report = await rehearse(
            room.plan, room.root, ["first", "second"], pace=0.01, memory_before=1e9,
            tell=lambda *told: done.append(told),
        )  # fmt: skip
        assert len(done) == report.finished
        return report


async def test_every_student_gets_to_the_end(tmp_path: Path) -> None:
    async with served(tmp_path) as room:
        report = await rehearsed(room)
        assert (report.finished, report.gave_up, report.soon) == (6, [], 1.0)
        assert [seat.over for seat in room.seats] == [3, 3, 3]
        kinds = {row.kind: row for row in report.rows}
        assert kinds["begin an exercise"].asked == 6
        assert kinds["have the work done"].asked == 6
        assert report.verdicts["done"] == 12  # two questions each, twice
        assert report.verdicts["wrong"] > 0
        assert report.memory_a_seat > 0
        assert "checks within 1 s: 100%" in "\n".join(as_lines(report))


async def test_a_check_that_is_slow_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "SOON", 0.05)
    async with served(tmp_path) as room:
        room.seats[1].slow = 0.1
        report = await rehearsed(room)
        assert "at seat 2" in report.slowest
        assert (report.will_do, report.soon < 1) == (False, True)
        assert as_lines(report)[-1] == "This machine will not do for so many."


async def test_a_seat_that_cannot_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async with served(tmp_path) as room:
        room.seats[0].broken = True
        report = await rehearsed(room, up=2)  # the third is gone
        assert report.finished == 2
        assert len(report.gave_up) == 2
        assert "seat 1 cannot begin first (status 503)" in report.gave_up
        assert not report.will_do


@pytest.mark.parametrize(
    ("busy", "left", "limit"),
    [
        ([0.5, 0.95, 0.5, 0.5, 0.5], [500.0], "nothing"),
        ([0.95, 0.95, 0.5], [500.0], "processor"),
        ([0.95, 0.95, 0.5], [500.0, 99.0], "memory"),
        ([], [], "nothing"),
    ],
)
def test_what_limits(busy: list[float], left: list[float], limit: str) -> None:
    assert limiting(Samples(busy, left, 0.0, 1000.0)) == limit


def test_a_track_is_worked_through_in_its_order() -> None:
    assert exercises_of("store-and-forward")[0] == "kept-next-door"
    with pytest.raises(UsageError, match="no track"):
        exercises_of("nowhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "rehearse where?"),
        (["--local", "--config", "c"], "rehearse where?"),
        (["--local", "--track", "nowhere"], "no track is called"),
        (["--config", "none.json", "--server", "http://127.0.0.1:9"], "none.json"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_started(
    words: list[str], said: str
) -> None:
    from typer.testing import CliRunner

    from mxlab.cli import app

    done = CliRunner(env={"MXLAB_CLASS": ""}).invoke(app, ["class", "rehearse", *words])
    assert (done.exit_code in (2, 3), said in done.output) == (True, True), done.output


async def test_a_report_is_json_too(tmp_path: Path) -> None:
    import msgspec

    async with served(tmp_path, 1) as room:
        report = await rehearsed(room, up=1)
    assert json.loads(msgspec.json.encode(report))["seats"] == 1
