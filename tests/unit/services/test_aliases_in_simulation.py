"""Aliases, and addresses with a tag, through whole simulated labs and the lab's accounts."""

import msgspec

from mxlab import Scenario, delivered, eventually, fault, heal, queue, run, send
from mxlab.backends.sim.backend import SimLab
from mxlab.history.evidence import SentMessage
from mxlab.history.ledger import Ledger, make_ledger
from mxlab.model.finding import Verdict
from mxlab.model.step import AnyStep
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab.runner.result import RunResult
from mxlab_services import events
from mxlab_services.directory import Directory
from tests.support.history import MESSAGE, History, accepted, mailbox, submitted
from tests.support.stories import (
    ALONE,
    BOB,
    CAROL,
    MINUTE,
    happened,
    in_lab,
    mail_of,
    reconfigure,
    reports,
    talk,
)
from tests.support.stories import send as submit

TEAM, DORA = "team@example.test", "dora@second.test"
SECOND = MailDomain("second.test", (Exchange("mx3", 10),), recipients=(DORA,))
EXPECT = (
    "nothing-lost", "nothing-forged", "nothing-altered", "duplicates-explained", "all-delivered",
    "failures-notified", "queues-empty",
)  # fmt: skip
LAB = Topology(
    mx=ALONE,
    recipients=(BOB, CAROL),
    aliases={"team": ("bob", "carol", DORA), "staff": TEAM, "carol": ("carol", "bob")},
    domains=(SECOND,),
)


def play(*steps: AnyStep, topology: Topology = LAB) -> RunResult:
    result = run(Scenario(title="t", steps=steps, topology=topology, expect=EXPECT), "sim")
    assert result.verdict is Verdict.PASS, [f.text for f in result.findings]
    return result


def boxes(result: RunResult) -> dict[str, int]:
    found: dict[str, int] = {}
    for entries in result.evidence.mailboxes.values():
        for entry in entries:
            found[entry.address] = found.get(entry.address, 0) + 1
    return found


# --- who is who -----------------------------------------------------------------------------------


def test_a_directory_knows_users_aliases_and_tags() -> None:
    directory = Directory([BOB, "x+y@example.test"], aliases={TEAM: [BOB, CAROL]})
    for known in (BOB, "BOB+a+b@example.test", TEAM, "team+x@example.test", "x+y@example.test"):
        assert directory.exists(known), known
    for unknown in ("x@example.test", "x+z@example.test", "+bob@example.test", "bob@far.test"):
        assert not directory.exists(unknown), unknown
    assert directory.mailbox("bob+tag@example.test") == BOB
    assert directory.mailbox("x+y@example.test") == "x+y@example.test"
    assert directory.mailbox('"bob+x"@example.test') == BOB
    assert directory.expanded(BOB) is None


def test_where_any_local_part_is_taken_a_plus_is_no_tag() -> None:
    assert Directory(None).mailbox("bob+tag@example.test") == "bob+tag@example.test"


def test_members_come_once_however_many_aliases_lead_there() -> None:
    a, b, c = (f"{name}@example.test" for name in "abc")
    directory = Directory([], aliases={a: [b, c, BOB], b: [c, BOB], c: [BOB, CAROL]})
    expansion = directory.expanded(a)
    assert expansion is not None
    assert (expansion.members, expansion.circle) == ((BOB, CAROL), ())


def test_a_circle_is_told_and_one_that_names_itself_is_none() -> None:
    a, b = "a@example.test", "b@example.test"
    circle = Directory([], aliases={a: [b], b: [BOB, a]}).expanded(a)
    assert circle is not None
    assert circle.circle == (a, b, a)
    own = Directory([], aliases={a: [a, BOB]}).expanded(a)
    assert own is not None
    assert (own.members, own.circle) == ((a, BOB), ())


def test_a_circle_in_a_configuration_is_refused_in_the_dialog() -> None:
    async def story(lab: SimLab) -> list[str]:
        circle = {TEAM: ["all@example.test"], "all@example.test": [TEAM]}
        await reconfigure(lab, "mx1", aliases=circle)
        return await talk(lab, "mx1", "EHLO c.test", "MAIL FROM:<a@c.test>", f"RCPT TO:<{TEAM}>")

    assert in_lab(story, mx=ALONE, recipients=(BOB,))[3] == (
        "550 5.4.6 <team@example.test>: its aliases go in a circle: "
        "team@example.test, all@example.test, team@example.test"
    )


# --- through the lab ------------------------------------------------------------------------------


def test_an_alias_reaches_each_member_once_here_and_elsewhere() -> None:
    batch = send("batch", to=["staff@example.test", BOB])
    result = play(batch, eventually(delivered("batch"), within="60s"))
    assert boxes(result) == {BOB: 1, CAROL: 1, DORA: 1}


def test_a_backup_keeps_mail_for_an_alias_and_expands_nothing() -> None:
    result = play(
        fault("down", "kill", "mx1"),
        send("batch", to=TEAM),
        eventually(queue("mx2", holds="batch"), within="60s"),
        heal("down"),
        eventually(delivered("batch"), within="5m"),
        topology=msgspec.structs.replace(LAB, mx=(*ALONE, Exchange("mx2", 20))),
    )
    assert boxes(result) == {BOB: 1, CAROL: 1, DORA: 1}
    expanded = {
        node: sum(isinstance(event.body, events.Expanded) for event in stream)
        for node, stream in result.trace.by_node.items()
    }
    assert {node for node, count in expanded.items() if count} == {"mx1"}


def test_a_tag_is_told_to_the_reader_and_both_addresses_are_accounted_for() -> None:
    result = play(
        send("batch", to=[BOB, "bob+lists@example.test"]),
        eventually(delivered("batch"), within="60s"),
    )
    (entries,) = [entries for entries in result.evidence.mailboxes.values() if entries]
    assert sorted((entry.address, entry.addressee) for entry in entries) == [
        (BOB, "bob+lists@example.test"), (BOB, BOB),
    ]  # fmt: skip


def test_a_report_names_the_address_that_the_sender_wrote() -> None:
    async def story(lab: SimLab) -> str:
        await submit(lab, TEAM)
        await lab.clock.sleep(MINUTE)
        (report,) = await reports(lab)
        assert await mail_of(lab, "mx1", BOB)
        return report.text

    text = in_lab(story, topology=LAB, aliases={"team": ("bob", "typo@far.test")})
    assert "Original-Recipient: rfc822;team@example.test" in text
    assert "Final-Recipient: rfc822; typo@far.test" in text


def test_a_biography_tells_of_the_expansion() -> None:
    async def story(lab: SimLab) -> list[events.Expanded]:
        await submit(lab, TEAM)
        await lab.clock.sleep(MINUTE)
        return await happened(lab, "mx1", events.Expanded)

    (told,) = in_lab(story, topology=LAB)
    assert (told.recipient, told.members) == (TEAM, [BOB, CAROL, DORA])


# --- the accounts, doctored -----------------------------------------------------------------------


def told(*recipients: str) -> History:
    """A message to these, at the client; the alias `team` is bob and carol."""
    history = submitted()
    history.topology = Topology(recipients=(BOB, CAROL), aliases={"team": ("bob", "carol")})
    history.submissions = [SentMessage("batch", MESSAGE, "d1", "alice@client.test", recipients)]
    return history


def ledger(history: History) -> Ledger:
    return make_ledger(history.trace(), history.evidence())


def expand(history: History, queue_id: str, *members: str) -> None:
    for member in members:
        history.event("mx1", accepted(queue_id, "10.0.0.9", to=member))
    history.event("mx1", events.Expanded(queue_id, TEAM, list(members)))


def test_a_member_whom_the_node_forgot_is_lost() -> None:
    history = told(TEAM)
    expand(history, "A1", BOB)
    history.mailboxes["mx1"] = [mailbox()]
    states = {name: unit.state for (_, name), unit in ledger(history).units.items()}
    assert states == {TEAM: "expanded", BOB: "delivered", CAROL: "lost"}


def test_somebody_whom_the_alias_does_not_name_is_forged() -> None:
    history = told(TEAM)
    expand(history, "A1", BOB, "eve@example.test")
    history.mailboxes["mx1"] = [mailbox(), mailbox(address="eve@example.test")]
    (forged,) = ledger(history).forged
    assert "eve@example.test at mx1: not to that recipient" in forged


def test_mail_for_one_in_the_mailbox_of_another_is_forged() -> None:
    history = told(BOB)
    history.mailboxes["mx1"] = [msgspec.structs.replace(mailbox(address=CAROL), recipient=BOB)]
    assert ledger(history).forged
    history.mailboxes["mx1"] = [msgspec.structs.replace(mailbox(), recipient="bob+x@example.test")]
    assert ledger(history).forged  # to bob it was sent, and to no tag of his


def copies_explained(history: History) -> bool:
    unit = ledger(history).units[MESSAGE, BOB]
    return unit.deliveries - unit.ways <= len(unit.unknowns)


def test_two_copies_need_two_ways_or_a_lost_acknowledgement() -> None:
    history = told(TEAM)
    expand(history, "A1", BOB, CAROL)
    history.mailboxes["mx1"] = [mailbox(), mailbox()]
    assert not copies_explained(history)
    lost = events.Outcome("C1", TEAM, "unknown", "timed out", "mx1.example.test")
    history.event("client", lost)
    assert copies_explained(history)


def test_who_is_named_beside_an_alias_has_one_copy_of_one_transaction_and_two_of_two() -> None:
    history = told(TEAM, BOB)
    expand(history, "A1", BOB, CAROL)
    history.mailboxes["mx1"] = [mailbox(), mailbox()]
    assert not copies_explained(history)
    history.event("mx1", accepted("A2", "10.0.0.9"))
    assert copies_explained(history)
