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
from mxlab.chaos.beside import BOB, Beside
from mxlab.chaos.schedule import (
    Action,
    Break,
    ChaosSchedule,
    Clog,
    Configure,
    Free,
    Mail,
    Mend,
    Pass,
    ZoneChange,
)
from mxlab.chaos.search import search
from mxlab.chaos.smaller import smaller, weight
from mxlab.chaos.space import DOMAIN, NOBODY, schedules
from mxlab.chaos.tally import BLOCK, Tally
from mxlab.chaos.trial import Trial, try_out
from mxlab.cli.app import app
from mxlab.model.mechanism import Kill, Partition, Pause, Segments, Stop
from mxlab.model.scenario import Scenario
from mxlab.model.topology import Exchange, NameServer, RetryHabit, Topology
from mxlab.scenario.load import load, loads
from mxlab.scenario.sound import unsound
from mxlab.scenario.write import scenario_text
from mxlab_services.faults.base import NodeFault
from mxlab_services.faults.kinds import DiskFull, DnsMxWithoutAddress, DnsTruncate, ReadOnly
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.enqueue import Intake
from tests.chaos_planted.faults import PLANTED

MAIL = Mail("alice@client.test", (BOB,))
CLIENT, BACKUP, PRIMARY, DNS = range(4)  # hosts by number, where there are two exchanges
KILL, PAUSE = Kill("any"), Pause("any")
OUTAGE = (Break(KILL, PRIMARY), MAIL, Pass(5.0), Mend(0), Pass(86400.0), MAIL)


def steps(*actions: Action) -> list[str]:
    return [str(step) for step in ChaosSchedule(Topology(), actions).scenario().steps]


@given(schedules())
@settings(max_examples=100)
def test_every_schedule_is_a_valid_scenario_that_can_be_written_and_read(
    schedule: ChaosSchedule,
) -> None:
    scenario = schedule.scenario("A title", "a summary")
    assert unsound(scenario) == []
    read = loads(scenario_text(scenario, "a remark"), "chaos.yaml", "chaos")
    assert msgspec.structs.replace(read, origin=None) == scenario


def test_what_cannot_be_done_is_left_out() -> None:
    assert steps(Break(KILL, CLIENT), MAIL, Break(PAUSE, CLIENT), Mend(3), Mend(0)) == [
        "fault f1: kill client",
        "heal f1",
    ]
    assert steps(Break(KILL, DNS), ZoneChange("null", 0)) == ["fault f1: kill dns"]


def test_a_changed_zone_is_put_back_with_dns_healed_first() -> None:
    found = steps(ZoneChange("null", 0), Break(KILL, DNS), MAIL)
    assert found[-2:] == ["heal f1", "dns: -@ MX; -@ A; +@ MX 10 mx1; +@ MX 20 mx2"]
    assert steps(ZoneChange("null", 0), ZoneChange("restored", 0))[-1].startswith("dns: ")
    assert len(steps(ZoneChange("null", 0), ZoneChange("restored", 0))) == 2


TREE = Topology(dns=(NameServer("root", (".", "test")), NameServer("ns1", (DOMAIN,)), "ns2"))


def on_tree(*actions: Action) -> list[str]:
    return [str(step) for step in ChaosSchedule(TREE, actions).scenario().steps]


def test_faults_find_their_hosts_among_several_name_servers() -> None:
    truncated = Break(DnsTruncate(host="any", name=DOMAIN), 0)
    cut_off = Break(Partition("any", peers=("dns",)), 1)
    found = on_tree(
        ZoneChange("null", 0), Break(KILL, -1), Break(KILL, 3), truncated,
        Break(DiskFull("any"), 3), cut_off, Clog(9),
    )  # fmt: skip
    assert found[1:] == [
        "fault f1: kill root",
        "fault f2: kill ns2",
        "fault f3: dns-truncate ns1 name=example.test",
        "fault f4: disk-full client",
        "fault f5: partition mx2 peers=('root',)",
        "fault f6: partition mx2 peers=('root',)",
        "heal f3",
        "dns: -@ MX; -@ A; +@ MX 10 mx1; +@ MX 20 mx2",
    ]


def test_an_exchange_can_lose_its_address_only_where_the_zone_is() -> None:
    """The root refused the fault, and the run ended with that."""
    lost = DnsMxWithoutAddress(host="any", name=f"mx1.{DOMAIN}")
    assert {on_tree(Break(lost, number))[0] for number in range(4)} == {
        "fault f1: dns-mx-without-address ns1 name=mx1.example.test"
    }


WIDE = Beside(other="turned", aliases=True, relays=2, clients=True).lab(
    Topology(recipients=(BOB, "carol@example.test"))
)


def on_wide(*actions: Action, topology: Topology = WIDE) -> list[str]:
    return [str(step) for step in ChaosSchedule(topology, actions).scenario().steps]


def test_mail_goes_to_whom_the_lab_has_through_the_client_that_it_has() -> None:
    mails = (
        Mail("dora@second.test", ("eve@other.test", "team@example.test", NOBODY)),
        Mail("ghost@example.test", ("sales@other.test",)),
    )
    assert on_wide(*mails) == [
        "send b1: 1 from dora@second.test to eve@other.test, team@example.test, "
        "nobody@example.test through client2",
        "send b2: 1 from ghost@example.test to sales@other.test",
    ]
    assert steps(*mails) == [
        "send b1: 1 from dora@client.test to nobody@example.test",
        "send b2: 1 from ghost@example.test to bob@example.test",
    ]


def test_each_domains_zone_is_changed_and_put_back_by_itself() -> None:
    found = on_wide(ZoneChange("swapped", 0), ZoneChange("without", 3), ZoneChange("restored", 1))
    assert found[1:] == [
        "dns: -@ MX; -@ A; +@ MX 20 mx1.example.test.",
        "dns: -@ MX; -@ A; +@ MX 10 mx1; +@ MX 20 mx2",
        "dns: -@ MX; -@ A; +@ MX 20 mx1.example.test.; +@ MX 10 mx2.example.test.",
    ]


def test_settings_are_changed_where_nothing_is_broken_and_mail_can_still_be_handed_in() -> None:
    small, patient = (
        Configure({"limits.message_size": 2000}, CLIENT),
        Configure({"retry.schedule": "rfc"}, CLIENT),
    )
    assert steps(small, patient, Break(KILL, CLIENT), patient) == [
        "config mx1: limits.message_size = 2000",
        "config client: retry.schedule = rfc",
        "fault f1: kill client",
    ]


def test_a_lab_with_everything_beside_repeats_itself_and_loses_nothing() -> None:
    """One message for two domains and an alias, by two relays, while their exchanges are down."""
    mail = Mail("dora@second.test", (BOB, "eve@other.test", "team@example.test"))
    through = Mail("alice@client.test", mail.recipients)
    down = (Break(KILL, 5), mail, through, Pass(5.0), Mend(0), Pass(3600.0), through)
    first = try_out(ChaosSchedule(WIDE, down, 3))
    assert first == try_out(ChaosSchedule(WIDE, down, 3))
    assert first.wrong == ()


def test_no_days_pass_where_streams_come_in_small_pieces() -> None:
    """Two days at a relay whose disk refuses looked like a world that never rests."""
    fine = Break(Segments("any"), CLIENT)
    relayed = Beside(relays=2).lab(Topology(schedule="postfix"))
    mail = Mail("alice@client.test", (BOB,), 1, 3000)
    actions = (Break(ReadOnly("any"), 2), mail, Pass(86400.0), mail, Pass(86400.0))
    schedule = ChaosSchedule(relayed, actions, 0, fine)
    assert [str(step) for step in schedule.scenario().steps][1::2] == [
        "fault f1: read-only relay1",
        "wait 6h",
        "wait 6h",
    ]
    assert try_out(schedule).wrong == ()
    coarse = replace(schedule, cut=Break(Segments("any", most=100), CLIENT))
    assert str(coarse.scenario().steps[-1]) == "wait 1d"


def test_no_days_pass_where_copies_of_zones_are_kept_fresh() -> None:
    assert on_tree(Pass(86400.0), Clog(0, 3600.0), Pass(5.0))[0::2] == ["wait 5m", "wait 5m"]
    assert steps(Pass(86400.0)) == ["wait 1d"]


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
    schedule = ChaosSchedule(Topology(), (Break(KILL, PRIMARY), Mend(0), MAIL), 0, cut)
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
    story = ChaosSchedule(Topology(tls=False, schedule="rfc"), (truncated, MAIL, *OUTAGE), 3, cut)
    first = try_out(story)
    assert first == try_out(story)
    assert first.wrong == ()
    assert first.digest != try_out(replace(story, cut=None)).digest


@pytest.mark.parametrize("seed", range(8))
def test_the_same_schedule_gives_the_same_digest_and_another_seed_another(seed: int) -> None:
    first = try_out(ChaosSchedule(Topology(schedule="rfc"), OUTAGE, seed))
    again = try_out(ChaosSchedule(Topology(schedule="rfc"), OUTAGE, seed))
    other = try_out(ChaosSchedule(Topology(schedule="rfc"), OUTAGE, seed + 100))
    assert first == again
    assert first.digest != other.digest
    assert first.wrong == ()
    assert first.lab_seconds > 86400


@pytest.mark.parametrize("fault", [ReadOnly("any"), DiskFull("any")])
def test_a_disk_that_refuses_for_days_is_asked_ever_less_often(fault: NodeFault) -> None:
    """The outcome of an attempt cannot be recorded; the world went on for 50,000 turns a day."""
    actions = (MAIL, Break(fault, CLIENT), Pass(5 * 86400.0))
    tried = try_out(ChaosSchedule(Topology(schedule="opensmtpd"), actions))
    assert tried.wrong == ()
    assert tried.lab_seconds > 5 * 86400


def test_a_warning_that_the_disk_kept_waiting_for_days_is_not_too_old_to_be_sent() -> None:
    """It was given up at once, without an attempt: its age counted from when it was made up."""
    ghost = Mail("ghost@example.test", (BOB,), 3)
    actions = (ghost, Pass(0.001), Break(ReadOnly("any"), CLIENT), Pass(5 * 86400.0))
    assert try_out(ChaosSchedule(Topology(schedule="opensmtpd"), actions)).wrong == ()


@pytest.mark.parametrize("schedule", ["opensmtpd", "workshop", "rfc"])
def test_attempts_side_by_side_that_fail_one_after_the_other_pause_from_the_last(
    schedule: str,
) -> None:
    """The next probe came a time after the first of them had failed, too soon after the other."""
    ghost = Mail("ghost@example.test", (NOBODY,), 2)
    alone = Topology(
        mx=(Exchange("mx1", 10),), recipients=(BOB, "carol@example.test"), schedule=schedule
    )
    actions = (ghost, Pass(0.013), Break(Pause("any"), 1), Pass(3600.0))
    assert try_out(ChaosSchedule(alone, actions)).wrong == ()


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
    assert try_out(ChaosSchedule(three, actions)).wrong == ()


def test_a_finding_is_pared_of_what_hypothesis_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn together, an outage and a wait before the mail, was left out only together."""
    PLANTED["drops on 4yz"](monkeypatch)
    found = search(seed=1, runs=100, shrinking=200).found
    assert found is not None
    assert [str(step).partition(" ")[0] for step in found.schedule.scenario().steps] == [
        "fault",
        "send",
        "wait",
    ]
    assert try_out(found.schedule) == found


def test_whatever_is_smaller_is_a_valid_scenario_and_weighs_no_more() -> None:
    mail = Mail("dora@second.test", (BOB, "eve@other.test"), 3)
    cut = Break(Segments("any"), CLIENT)
    whole = ChaosSchedule(WIDE, (Break(KILL, 5), mail, Pass(5.0), ZoneChange("null", 3)), 0, cut)
    found = list(smaller(whole))
    assert [unsound(one.scenario()) for one in found] == [[]] * len(found)
    assert all(weight(one) <= weight(whole) for one in found)
    assert min(len(one.topology.hosts) for one in found) == 4
    assert any(one.cut is None for one in found)
    assert list(smaller(ChaosSchedule(Topology(mx=(Exchange("mx1", 10),)), ()))) == []


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_seed_changes_nothing(hash_seed: str) -> None:
    code = (
        "from tests.unit.chaos.test_chaos import OUTAGE, ChaosSchedule, Topology, try_out;"
        "print(try_out(ChaosSchedule(Topology(schedule='rfc'), OUTAGE, 7)).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == try_out(ChaosSchedule(Topology(schedule="rfc"), OUTAGE, 7)).digest


def test_a_seed_decides_what_is_tried() -> None:
    def tried(seed: int) -> list[str]:
        digests: list[str] = []

        def kept(schedule: ChaosSchedule) -> trial.Trial:
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


def test_what_is_drawn_twice_in_a_block_is_counted_but_not_played_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played: list[Scenario] = []

    def noted(schedule: ChaosSchedule) -> Trial:
        played.append(schedule.scenario())
        return Trial(schedule, (), 1.0, "", frozenset({"second-copy"}))

    monkeypatch.setattr("mxlab.chaos.block.try_out", noted)
    tally = search(seed=2026, runs=BLOCK)
    assert 0 < tally.repeats < BLOCK // 2
    assert tally.runs == BLOCK
    assert all(one not in played[:number] for number, one in enumerate(played))
    assert len(played) == BLOCK - tally.repeats == tally.lab_seconds == sum(tally.reached.values())


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
    (*_, last) = try_out(ChaosSchedule(Topology(), (MAIL, Pass(5.0)))).wrong
    assert last.check == "no-errors-logged"
    assert any("a bug" in line for line in last.details)


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("mxlab.runner.runner.drain", fails)
    (only,) = try_out(ChaosSchedule(Topology(), (MAIL,))).wrong
    assert (only.check, only.text) == ("no-crash", "LookupError: a bug")


def test_a_world_that_never_rests_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turns(*_: object) -> None:
        asyncio.get_running_loop().call_soon(again)
        await asyncio.Event().wait()

    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    monkeypatch.setattr(trial, "MOST_TURNS", 2000)
    monkeypatch.setattr(Intake, "__call__", turns)
    (only,) = try_out(ChaosSchedule(Topology(), (MAIL,))).wrong
    assert only.check == "no-crash"
    assert "Runaway" in only.text


# --- the command ---------------------------------------------------------------------------------


def test_a_finding_is_written_and_plays_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found.yaml"
    PLANTED["ignores the second recipients outcome"](monkeypatch)
    done = CliRunner().invoke(app, ["chaos", "--runs", "300", "--seed", "1", "--out", str(out)])
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
        ChaosSchedule(
            Topology(recipients=(BOB,), backup_knows_recipients=False),
            (Break(KILL, PRIMARY), Mail("ghost@example.test", (BOB, NOBODY)), Pass(5.0)),
        )
    ).wrong
    assert wrong == ()


# --- what chaos found ----------------------------------------------------------------------------


def test_a_host_of_one_family_asks_the_dns_server_in_that_family() -> None:
    """In a lab of both it was given the IPv4 address, which a host of IPv6 alone cannot reach."""
    both = Topology(ip=(4, 6), client_ip=(6,))
    assert try_out(ChaosSchedule(both, (MAIL, Pass(5.0)))).wrong == ()


def test_a_report_that_a_host_had_stored_when_it_died_is_told_by_its_attempt() -> None:
    """Of a delay, in the very moment; it lay in the mailbox, and nobody had sent it."""
    lab = Topology(client_retry=RetryHabit(schedule="exim", warning=3600.0), schedule="exim")
    outage = (Break(KILL, DNS), Pass(300.0), replace(MAIL, count=2), Pass(3600.0))
    moments = [
        try_out(ChaosSchedule(lab, (*outage, MAIL, Pass(number / 1000), Break(KILL, CLIENT))))
        for number in range(4)
    ]
    assert any("stored-untold" in moment.reached for moment in moments)
    assert [moment.wrong for moment in moments] == [()] * 4


def test_a_node_that_stops_as_a_lifetime_ends_still_tells_of_the_bounce() -> None:
    outage = (Break(KILL, PRIMARY), Break(KILL, BACKUP), MAIL, Pass(5 * 86400.0))
    actions = (*outage, Break(Stop("any"), CLIENT))
    assert try_out(ChaosSchedule(Topology(schedule="postfix"), actions)).wrong == ()
