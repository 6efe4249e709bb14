"""Chaos: schedules that are always valid, trials that repeat, a search that tells what it has."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

from mxlab.chaos import trial
from mxlab.chaos.schedule import Action, Break, Clog, Free, Mail, Mend, Pass, Schedule, Zone
from mxlab.chaos.search import search
from mxlab.chaos.space import BOB, NOBODY, schedules
from mxlab.chaos.tally import Tally
from mxlab.chaos.trial import try_out
from mxlab.chaos.writing import scenario_text
from mxlab.cli.app import app
from mxlab.model.inner import DiskFull, DnsTruncate, InnerFault, ReadOnly
from mxlab.model.mechanism import Kill, Pause, Stop
from mxlab.model.outer import Segments
from mxlab.model.scenario import problems
from mxlab.model.topology import Exchange, Topology
from mxlab.scenario.load import load, loads
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.enqueue import Intake
from tests.chaos_planted.faults import PLANTED

MAIL = Mail("alice@client.test", (BOB,))
CLIENT, BACKUP, PRIMARY, DNS = range(4)  # hosts by number, where there are two exchanges
KILL, PAUSE = Kill("any"), Pause("any")
OUTAGE = (Break(KILL, PRIMARY), MAIL, Pass(5.0), Mend(0), Pass(86400.0), MAIL)


def steps(*actions: Action) -> list[str]:
    return [str(step) for step in Schedule(Topology(), actions).scenario().steps]


@given(schedules())
@settings(max_examples=100, deadline=None)
def test_every_schedule_is_a_valid_scenario_that_can_be_written_and_read(
    schedule: Schedule,
) -> None:
    scenario = schedule.scenario("A title", "a summary")
    assert problems(scenario) == []
    read = loads(scenario_text(scenario, "a remark"), "chaos.yaml", "chaos")
    assert msgspec.structs.replace(read, origin=None) == scenario


def test_what_cannot_be_done_is_left_out() -> None:
    assert steps(Break(KILL, CLIENT), MAIL, Break(PAUSE, CLIENT), Mend(3), Mend(0)) == [
        "fault f1: kill client",
        "heal f1",
    ]
    assert steps(Break(KILL, DNS), Zone("null", 0)) == ["fault f1: kill dns"]


def test_a_changed_zone_is_put_back_with_dns_healed_first() -> None:
    found = steps(Zone("null", 0), Break(KILL, DNS), MAIL)
    assert found[-2:] == ["heal f1", "dns: -@ MX; -@ A; +@ MX 10 mx1; +@ MX 20 mx2"]
    assert steps(Zone("null", 0), Zone("restored", 0))[-1].startswith("dns: ")
    assert len(steps(Zone("null", 0), Zone("restored", 0))) == 2


def test_links_are_stopped_one_by_one_and_let_go_in_another_order() -> None:
    found = steps(Clog(0, 0.002), MAIL, Clog(0), Clog(1, 5.0), Clog(13), Free(1), Free(7, 1.0))
    assert found == [
        "fault f1: partition client peers=('mx1',)",
        "wait 2ms",
        "send b1: 1 from alice@client.test to bob@example.test",
        "fault f2: partition client peers=('mx2',)",
        "wait 5s",
        "heal f2",
        "heal f1",
        "wait 1s",
    ]
    assert steps(Free(0, 5.0)) == []


def test_a_stopped_link_hinders_no_other_fault_on_its_hosts() -> None:
    found = steps(Clog(0), Break(KILL, PRIMARY), Mend(0), MAIL, Free(0))
    assert [text.partition(" ")[0] for text in found] == ["fault", "fault", "heal", "send", "heal"]


def test_streams_are_cut_all_the_time_whatever_else_befalls_the_host() -> None:
    cut = Break(Segments("any", most=3), PRIMARY)
    schedule = Schedule(Topology(), (Break(KILL, PRIMARY), Mend(0), MAIL), 0, cut)
    assert [str(step) for step in schedule.scenario().steps] == [
        "fault cut: segments mx1 most=3",
        "fault f1: kill mx1",
        "heal f1",
        "send b1: 1 from alice@client.test to bob@example.test",
    ]


@pytest.mark.parametrize("most", [1, 20])
@pytest.mark.parametrize("host", [CLIENT, BACKUP, PRIMARY, DNS])
def test_a_lab_whose_streams_are_cut_repeats_itself_and_loses_nothing(most: int, host: int) -> None:
    cut = Break(Segments("any", most=most), host)
    truncated = Break(
        DnsTruncate(host="any", name="example.test"), DNS
    )  # so that DNS goes over TCP
    story = Schedule(Topology(tls=False, schedule="rfc"), (truncated, MAIL, *OUTAGE), 3, cut)
    first = try_out(story)
    assert first == try_out(story)
    assert first.wrong == ()
    assert first.digest != try_out(replace(story, cut=None)).digest


@pytest.mark.parametrize("seed", range(8))
def test_the_same_schedule_gives_the_same_digest_and_another_seed_another(seed: int) -> None:
    first = try_out(Schedule(Topology(schedule="rfc"), OUTAGE, seed))
    again = try_out(Schedule(Topology(schedule="rfc"), OUTAGE, seed))
    other = try_out(Schedule(Topology(schedule="rfc"), OUTAGE, seed + 100))
    assert first == again
    assert first.digest != other.digest
    assert first.wrong == ()
    assert first.lab_seconds > 86400


@pytest.mark.parametrize("fault", [ReadOnly("any"), DiskFull("any")])
def test_a_disk_that_refuses_for_days_is_asked_ever_less_often(fault: InnerFault) -> None:
    """The outcome of an attempt cannot be recorded; the world went on for 50,000 turns a day."""
    actions = (MAIL, Break(fault, CLIENT), Pass(5 * 86400.0))
    tried = try_out(Schedule(Topology(schedule="opensmtpd"), actions))
    assert tried.wrong == ()
    assert tried.lab_seconds > 5 * 86400


def test_a_warning_that_the_disk_kept_waiting_for_days_is_not_too_old_to_be_sent() -> None:
    """It was given up at once, without an attempt: its age counted from when it was made up."""
    ghost = Mail("ghost@example.test", (BOB,), 3)
    actions = (ghost, Pass(0.001), Break(ReadOnly("any"), CLIENT), Pass(5 * 86400.0))
    assert try_out(Schedule(Topology(schedule="opensmtpd"), actions)).wrong == ()


def test_attempts_side_by_side_that_fail_one_after_the_other_pause_from_the_last() -> None:
    """The next probe came a time after the first of them had failed, too soon after the other."""
    ghost = Mail("ghost@example.test", (NOBODY,), 2)
    alone = Topology(
        mx=(Exchange("mx1", 10),), recipients=(BOB, "carol@example.test"), schedule="opensmtpd"
    )
    actions = (ghost, Pass(0.013), Break(Pause("any"), 1), Pass(3600.0))
    assert try_out(Schedule(alone, actions)).wrong == ()


def test_a_flush_in_the_midst_of_an_attempt_and_an_answer_that_is_old_by_then() -> None:
    """The attempt was to pass a host over of which the flush had forgotten that it was silent; and
    a destination that was found dead came alive by what a host had said before that."""
    three = Topology(
        mx=(Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 20)), schedule="opensmtpd"
    )
    two, one = Mail("alice@client.test", (BOB,), 2), MAIL
    kill, pause = Kill("any"), Pause("any")
    actions = (
        Break(pause, 2), two, Pass(0.009), Break(kill, 1), Break(kill, 3), one, Pass(5.0),
    )  # fmt: skip
    assert try_out(Schedule(three, actions)).wrong == ()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_seed_changes_nothing(hash_seed: str) -> None:
    code = (
        "from tests.unit.chaos.test_chaos import OUTAGE, Schedule, Topology, try_out;"
        "print(try_out(Schedule(Topology(schedule='rfc'), OUTAGE, 7)).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == try_out(Schedule(Topology(schedule="rfc"), OUTAGE, 7)).digest


def test_a_seed_decides_what_is_tried() -> None:
    def tried(seed: int) -> list[str]:
        digests: list[str] = []

        def kept(schedule: Schedule) -> trial.Trial:
            result = try_out(schedule)
            digests.append(result.digest)
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mxlab.chaos.block.try_out", kept)
            search(seed=seed, runs=15)
        return digests

    assert tried(5) == tried(5)
    assert tried(5) != tried(6)


def test_nothing_is_found_on_main() -> None:
    tally = search(seed=20, runs=60)
    assert tally.found is None
    assert tally.runs >= 55  # Hypothesis may find its space's smallest ones equal
    assert tally.lab_seconds > 0


def test_a_search_ends_with_its_time() -> None:
    assert search(seed=1, seconds=0.0).runs == 0


def test_an_interrupted_search_answers_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(tally: Tally) -> None:
        if tally.runs == 3:
            raise KeyboardInterrupt

    tally = search(seed=1, runs=50, progress=interrupt)
    assert tally.interrupted
    assert tally.runs == 3
    PLANTED["loses a header"](monkeypatch)
    found = search(seed=1, runs=50, progress=interrupt_shrinking)
    assert found.interrupted
    assert found.found is not None


def interrupt_shrinking(tally: Tally) -> None:
    if tally.shrinking:
        raise KeyboardInterrupt


def test_an_error_that_a_service_survives_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(Attempts, "_send", fails)
    (*_, last) = try_out(Schedule(Topology(), (MAIL, Pass(5.0)))).wrong
    assert last.check == "no-errors-logged"
    assert any("a bug" in line for line in last.details)


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("mxlab.runner.runner.drain", fails)
    (only,) = try_out(Schedule(Topology(), (MAIL,))).wrong
    assert (only.check, only.text) == ("no-crash", "LookupError: a bug")


def test_a_world_that_never_rests_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turns(*_: object) -> None:
        asyncio.get_running_loop().call_soon(again)
        await asyncio.Event().wait()

    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    monkeypatch.setattr(trial, "MOST_TURNS", 2000)
    monkeypatch.setattr(Intake, "__call__", turns)
    (only,) = try_out(Schedule(Topology(), (MAIL,))).wrong
    assert only.check == "no-crash"
    assert "Runaway" in only.text


# --- the command ---------------------------------------------------------------------------------


def test_a_finding_is_written_and_plays_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found.yaml"
    PLANTED["ignores the second recipients outcome"](monkeypatch)
    done = CliRunner().invoke(app, ["chaos", "--runs", "50", "--seed", "1", "--out", str(out)])
    assert done.exit_code == 1, done.output
    assert f"mxlab run {out} --backend sim" in done.stdout
    assert load(str(out)).seed >= 0
    again = CliRunner().invoke(app, ["run", str(out), "--backend", "sim"])
    assert again.exit_code == 1, again.output
    monkeypatch.undo()
    assert CliRunner().invoke(app, ["run", str(out), "--backend", "sim"]).exit_code in (0, 4)


def test_nothing_found_is_exit_code_0_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "found.yaml"
    arguments = ["chaos", "--runs", "5", "--seed", "1", "--out", str(out), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    told = msgspec.json.decode(done.stdout)
    assert (told["runs"], told["findings"], told["file"]) == (5, [], None)
    assert not out.exists()


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "mxlab.chaos.search.search", lambda **_: Tally(runs=7, interrupted=True, seconds=1.0)
    )
    done = CliRunner().invoke(app, ["chaos"])
    assert done.exit_code == 130
    assert "7 runs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--time", "soon"], "no duration"),
        (["--runs", "0"], "--runs"),
        (["--out", "/nowhere/at/all.yaml"], "is no folder"),
    ],
)
def test_wrong_options_are_exit_code_2(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["chaos", *arguments])
    assert done.exit_code == 2
    assert words in done.output


def test_a_recipient_that_does_not_exist_is_part_of_the_space() -> None:
    wrong = try_out(
        Schedule(
            Topology(recipients=(BOB,), backup_knows_recipients=False),
            (Break(KILL, PRIMARY), Mail("ghost@example.test", (BOB, NOBODY)), Pass(5.0)),
        )
    ).wrong
    assert wrong == ()


# --- what chaos found ----------------------------------------------------------------------------


def test_a_node_that_stops_as_a_lifetime_ends_still_tells_of_the_bounce() -> None:
    outage = (Break(KILL, PRIMARY), Break(KILL, BACKUP), MAIL, Pass(5 * 86400.0))
    actions = (*outage, Break(Stop("any"), CLIENT))
    assert try_out(Schedule(Topology(schedule="postfix"), actions)).wrong == ()
