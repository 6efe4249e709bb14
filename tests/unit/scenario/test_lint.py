"""`mxlab scenario lint`: what would be regretted is said, with its place; what is sound is not."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mxlab.backends.base import Node
from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend
from mxlab.cli import app
from mxlab.errors import ScenarioError
from mxlab.scenario.lint import Remark, remarks
from mxlab.scenario.load import load, loads, problem_at, read, scenario_ids
from tests.support.scenario_text import END, HEAD, SEND

WORLDS = (DockerBackend(), ProcessBackend(), SimBackend())


def lint(steps: str, end: str = END, head: str = HEAD) -> list[str]:
    """`line: text` of each remark on what is to be mended."""
    return said(steps, end, head, "error")


def said(steps: str, end: str = END, head: str = HEAD, level: str = "warning") -> list[str]:
    scenario, tree = read(head + steps + end, "x.yaml", "x")
    found = [remark for remark in remarks(scenario, WORLDS) if remark.level == level]
    errors = [problem_at(tree, remark.problem) for remark in found]
    return [f"{error.line}: {str(error).split(': ', 1)[1]}" for error in errors]


@pytest.mark.parametrize("name", scenario_ids())
def test_what_ships_is_clean(name: str) -> None:
    assert [r for r in remarks(load(name), WORLDS) if r.level != "note"] == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (SEND + "  - heal: x\n", "5: `heal`: 'x': no fault of that id was injected before"),
        (
            SEND + "  - fault: {id: x, kill: mx1}\n  - heal: x\n  - heal: x\n",
            "7: `heal`: x is healed already, in line 6: nothing is left to heal",
        ),
        (
            SEND + "  - eventually: {within: 1s, delivered: bach}\n",
            "5: `delivered`: 'bach': no batch of that id was sent before",
        ),
        (
            "  - eventually: {within: 1s, queue: {host: mx2, count: 3}}\n" + SEND,
            "4: `queue`: no mail was sent before: it can never happen",
        ),
        *(
            (
                f"{SEND}  - eventually: {{within: 1s, {condition}}}\n",
                f"5: {why}: it can never happen",
            )
            for condition, why in (
                ("attempt: {host: mx1, by: mx1}", "`by`: mx1 never tries itself"),
                ("reply: {from: mx2, code: 450, by: mx2}", "`by`: mx2 never tries itself"),
                (
                    "reply: {from: mx1, code: 354, verb: RCPT}",
                    "`code`: RCPT never gets 354: 3yz asks for more (RFC 5321 §4.2.1)",
                ),
                (
                    "reply: {from: mx1, code: 220, verb: STARTTLS, by: client}",
                    "`verb`: client never says STARTTLS without `tls: true`",
                ),
                (
                    "notified: alice@clientt.test",
                    "`notified`: 'clientt.test': no host of the lab has mailboxes for that domain",
                ),
                (
                    "asked: {name: example.test, type: XM}",
                    "`type`: 'XM': there is no such type of records",
                ),
            )
        ),
        (
            SEND + "  - never: {during: 1s, attempt: {host: mx2, count: 0}}\n",
            "5: `count`: it holds before anything is seen; that there was none stands in `expect`",
        ),
        (
            SEND + "  - fault: {id: x, kill: mx1}\n"
            + SEND.replace("batch", "two")
            + "  - eventually: {within: 1s, reply: {from: mx1, code: 250, batch: two}}\n",
            "7: `reply`: mx1 is down since before two was sent: it can never happen",
        ),
        (
            SEND + "  - eventually: {within: 1s, queue: {host: dns, at-least: 1}}\n",
            "5: `queue`: dns has no queue: it can never happen",
        ),
        (
            SEND + "  - eventually: {within: 1s, queue: {host: dns, holds: batch}}\n",
            "5: `queue`: dns has no queue: it can never happen",
        ),
        (
            SEND + "  - never: {during: 1s, queue: {host: dns, count: 3}}\n",
            "5: `queue`: dns has no queue: nothing can violate it",
        ),
        (
            SEND + "  - never: {during: 0s, bounced: batch}\n",
            "5: `during`: no time: nothing can violate it",
        ),
        (SEND + "  - wait: 0s\n", "5: `wait`: waits for no time at all"),
        (
            "  - fault: {id: x, kill: mx1}\n  - fault: {id: y, stop: mx1}\n" + SEND,
            "5: `stop`: mx1 is down already, since line 4 (x): it can not go down again",
        ),
        (
            "  - fault: {id: x, pause: client}\n" + SEND,
            "5: `send`: client is down (x): nobody is there to send it",
        ),
        (
            "  - fault: {id: x, kill: mx1}\n" + SEND
            + "  - eventually: {within: 1m, delivered: batch}\n",
            "6: `delivered`: mx1: down since before batch was sent: it can never happen",
        ),
        (
            "  - fault: {id: x, kill: mx2}\n" + SEND
            + "  - eventually: {within: 1m, queue: {host: mx2, holds: batch}}\n",
            "6: `queue`: mx2 is down since before batch was sent: it can never happen",
        ),
    ],
)  # fmt: skip
def test_a_step_that_can_never_happen(steps: str, said: str) -> None:
    assert lint(steps) == [said]


def test_every_sender_can_be_notified() -> None:
    head = HEAD.replace("steps:", "topology: {clients: [{host: shop, domain: shop.test}]}\nsteps:")
    step = SEND + "  - eventually: {within: 1s, notified: orders@shop.test}\n"
    assert lint(step, head=head) == []


@pytest.mark.parametrize(
    "steps",
    [
        # What was sent before may have got there; what heals meanwhile may take it.
        SEND + "  - fault: {id: x, kill: mx1}\n  - eventually: {within: 1m, delivered: batch}\n",
        "  - fault: {id: x, kill: mx1}\n" + SEND + "  - heal: x\n"
        "  - eventually: {within: 1m, delivered: batch}\n",
        "  - fault: {id: x, kill: mx1}\n  - python: a:repair\n" + SEND
        + "  - eventually: {within: 1m, delivered: batch}\n",
        "  - parallel:\n      - fault: {id: x, kill: mx1}\n    " + SEND
        + "  - eventually: {within: 1m, delivered: batch}\n",
        "  - fault: {id: x, kill: mx1}\n  - parallel:\n      - heal: x\n    " + SEND
        + "  - eventually: {within: 1m, delivered: batch}\n",
        "  - fault: {id: x, pause: mx1}\n  - fault: {id: y, kill: mx1}\n" + SEND,
        "  - fault: {id: x, kill: mx1}\n" + SEND + "  - never: {during: 9s, delivered: batch}\n",
        "  - python: a:submits\n  - eventually: {within: 1s, queue: {host: mx2, count: 3}}\n",
    ],
)  # fmt: skip
def test_what_may_happen_is_left_alone(steps: str) -> None:
    assert lint(steps) == []


FAULT = "  - fault: {id: x, reply: {host: mx1, verb: RCPT, code: 450}}\n"


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (FAULT + SEND + "  - heal: x\n", "6: `heal`: nothing is awaited between line 4 and here"),
        (SEND + FAULT, "5: `fault`: after it nothing is awaited: the run heals it at once"),
        (
            "  - fault: {id: x, pause: mx1}\n  - say: y\n" + SEND + "  - heal: x\n",
            "7: `heal`: nothing is awaited between line 4 and here",
        ),
        (
            FAULT + "  - wait: 1s\n  - fault: {id: y, disk-full: mx2}\n" + SEND
            + "  - heal: x\n  - heal: y\n",
            "9: `heal`: nothing is awaited between line 6 and here: y is healed at once",
        ),
    ],
)  # fmt: skip
def test_a_fault_that_may_be_healed_too_soon_is_warned_of(steps: str, told: str) -> None:
    (warning,) = said(steps)
    assert warning.startswith(told)
    assert lint(steps) == []


@pytest.mark.parametrize(
    "between",
    [
        "  - wait: 1s\n", "  - eventually: {within: 1m, struck: x}\n",
        "  - never: {during: 1m, bounced: batch}\n", "  - python: a:waits\n",
        "  - etrn: {host: mx1, asks: mx2}\n", "  - parallel: [{say: a}, {wait: 2s}]\n",
    ],
)  # fmt: skip
def test_what_is_awaited_before_is_fine(between: str) -> None:
    assert said(FAULT + SEND + between + "  - heal: x\n") == []
    assert said(SEND + FAULT + between) == []


@pytest.mark.parametrize(
    "steps",
    [
        SEND + "  - fault: {id: x, kill: mx2}\n  - heal: x\n",  # a crash, and back
        FAULT + SEND + "  - parallel: [{heal: x}, {eventually: {within: 1m, delivered: batch}}]\n",
        "  - parallel: [{fault: {id: x, pause: mx1}}, {wait: 1s}]\n" + SEND + "  - heal: x\n",
    ],
)
def test_what_may_be_meant_so_is_not_warned_of(steps: str) -> None:
    assert said(steps) == []


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("struck: y", "'y': no fault of that id was injected before"),
        ("struck: d", "of d, which is kill, no node tells when it strikes"),
        ("struck: {fault: x, count: 0}", ">= 1"),
    ],
)
def test_struck_is_of_a_fault_that_tells(condition: str, told: str) -> None:
    steps = FAULT + "  - fault: {id: d, kill: mx2}\n" + SEND
    with pytest.raises(ScenarioError, match=told):
        loads(HEAD + steps + f"  - eventually: {{within: 1m, {condition}}}\n" + END)
    with pytest.raises(ScenarioError, match=told):
        loads(HEAD + steps + f"expect: [{{{condition}}}]\n")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("expect: [nothing-lost, nothing-lost]\n", "5: `expect[2]`: the same stands here twice"),
        (
            "expect: [{bounced: batch}, nothing-bounced]\n",
            "5: `expect[1]`: it cannot hold together with nothing-bounced",
        ),
        (
            "expect: [queues-empty, {queue: {host: mx2, holds: batch}}]\n",
            "5: `expect[2]`: it cannot hold together with queues-empty",
        ),
    ],
)
def test_an_expectation_that_decides_nothing(end: str, said: str) -> None:
    assert lint(SEND, end) == [said]


def test_without_mail_nothing_is_proved() -> None:
    (said,) = lint("  - say: hello\n")
    assert said.startswith("5: `expect`: nothing is sent, so nothing can violate")


def test_without_a_backup_nothing_waits_there() -> None:
    head = "mxlab: 1\ntitle: t\ntopology: {mx: [{host: mx1, preference: 1}]}\nsteps:\n"
    said = lint(SEND, "expect: [queued-at-backup]\n", head)
    assert said == ["6: `expect[1]`: there is no backup: it can never hold"]


class Unpausable(SimBackend):
    """A world that says so."""

    node_type: type[Node] = Node  # type: ignore[type-abstract]


def judged(text: str, *worlds: SimBackend) -> list[Remark]:
    return remarks(read(text, "x.yaml", "x")[0], worlds)


def test_what_a_world_cannot_do_is_a_note_and_what_none_can_is_an_error() -> None:
    text = HEAD + "  - fault: {id: x, pause: mx1}\n  - wait: 1s\n" + SEND + END
    (note,) = judged(text, SimBackend(), Unpausable())
    assert note.level == "note"
    assert "cannot pause" in note.problem.text
    (error,) = judged(text, Unpausable())
    assert error.level == "error"
    assert error.problem.path == ("steps", 0, "fault", "pause")
    (wish,) = judged(text.replace("title: t", "title: t\nbackend: sim"), SimBackend(), Unpausable())
    assert wish.level == "error"


def test_a_file_with_many_mistakes_has_them_all_in_one_go(tmp_path: Path) -> None:
    """Those of its words, of its references, and what can never happen."""
    path = tmp_path / "scenario.yaml"
    path.write_text(
        HEAD + "  - fault: {id: x, reply: {host: mx1, verb: RCTP, code: 450}}\n"
        "  - sned: {id: batch}\n" + SEND + "  - wait: 0s\n  - heal: y\n"
        "  - never: {during: 0s, bounced: bach}\n"
        "expect: [nothing-lots, nothing-lost, nothing-lost]\n"
    )
    for command in (["run", "--backend", "sim"], ["scenario", "show"], ["scenario", "lint"]):
        told = CliRunner().invoke(app, [*command, str(path)])
        assert told.exit_code == 2
        for said in (
            ":4:45: ", "`verb`: 'RCTP' is not known here", "did you mean RCPT?",
            ":5:5: ", "`sned`: unknown key", "did you mean `send`?",
            ":8:11: ", "'y': no fault of that id", ":9:34: ", "'bach': no batch", "'batch'?",
            ":10:10: ", "did you mean 'nothing-lost'?",
        ):  # fmt: skip
            assert said in told.output
    told = CliRunner().invoke(app, ["scenario", "lint", str(path)])
    for said in (":7:11: error: `wait`: waits", "`during`: no time", "stands here twice"):
        assert said in told.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x TLSA 3 1 1", "TLSA takes 4 fields, not 3"),
        ("x A 10.0.0", "A: Expected 4 octets in '10.0.0'"),
        ("x BOGUS 1", "record type 'BOGUS' is not one of"),
        ("x MX mx1", "MX takes 2 fields, not 1"),
        ("x.other.test. A 10.0.0.1", "x.other.test. lies outside the zone example.test."),
        ("$INCLUDE file", "$INCLUDE is not followed"),
        ("mx1 CNAME mx2", "mx1.example.test. has a CNAME beside other data"),
        ("@ MX 0 .", "example.test. has a null MX beside other MX records"),
        ("@ SOA a b 1 1 1 1 1", "the SOA is changed by replacing the zone"),
        (f"{'x' * 64} A 10.0.0.1", "is no label: longer than 63 octets"),
    ],
)
def test_a_record_that_the_server_would_refuse_is_told_with_its_place(line: str, said: str) -> None:
    """And so it is before a run, whatever the step holds else."""
    steps = SEND + "  - dns:\n      add:\n        - ok A 10.0.0.1\n" + f"        - {line!r}\n"
    (remark,) = lint(steps)
    number, _, text = remark.partition(": ")
    assert said in text
    assert number in ("7", "8")  # the line, or the list where it is all of them together
    with pytest.raises(ScenarioError) as caught:
        loads(HEAD + steps + END, "x.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        '  - dns: {add: ["_25._tcp.mx1 TLSA 3 1 1 abcd"]}\n',
        '  - dns: {add: ["_smtp._tcp SRV 0 5 25 mx1", "@ CAA 0 issue ca.test"]}\n',
        "  - dns: {add: ['odd TYPE65534 \\# 4 0a000001']}\n",
        '  - dns: {remove: ["@ MX"], add: ["@ MX 0 ."]}\n',
        '  - dns: {remove: ["mx1 A"], add: ["mx1 CNAME mx2"]}\n',
        '  - dns: {remove: ["nobody MX 10 mx1"]}\n',
        '  - dns: {origin: client.test, add: ["www A 10.0.0.1"]}\n',
        '  - dns: {origin: test, add: ["new MX 10 mx1.example.test."]}\n',
        '  - dns: {origin: 99.53.10.in-addr.arpa, add: ["7 PTR x.example.test."]}\n',
    ],
)
def test_a_record_that_the_server_takes_is_no_remark(step: str) -> None:
    assert lint(SEND + step) == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('  - dns: {remove: ["MX"]}\n', "the record type is missing"),
        ('  - dns: {origin: new.com, add: ["@ A 10.0.0.1"]}\n', "no zone new.com here"),
        ("  - dns: {zone: '@ A 10.0.0.1'}\n", "line 1, column 1: no TTL"),
        ("  - dns: {zone: '$TTL 5'}\n", "needs exactly one SOA"),
        (
            "  - dns: {remove: ['@ MX']}\n  - fault: {id: x, dns-swapped-mx: {name: example.test, "
            "exchanges: [mx1.example.test, mx2.example.test]}}\n",
            "example.test. has no MX records",
        ),
        (
            "  - fault: {id: x, dns-wrong-mx: {name: example.test, exchange: a.test, "
            "instead_of: b.test}}\n",
            "example.test. has no MX b.test., only mx1.example.test., mx2.example.test.",
        ),
        ("  - fault: {id: x, dns-mx-without-address: gone.example.test}\n", "no address to lose"),
    ],
)
def test_what_the_zone_at_that_step_would_refuse_is_told(steps: str, said: str) -> None:
    (remark,) = lint(SEND + steps)
    assert said in remark


def test_after_a_step_of_ones_own_the_zone_may_be_another() -> None:
    own = "  - python: 'os:getcwd'\n"
    for steps in (
        "  - dns: {add: ['mx1 CNAME mx2']}\n",
        "  - dns: {origin: new.com, add: ['@ A 1.2.3.4']}\n",
    ):
        assert len(lint(SEND + steps)) == 1
        assert lint(SEND + own + steps) == []
    assert len(lint(SEND + own + "  - dns: {add: ['mx1 A 1.2.3']}\n")) == 1


BY_PROGRAM = HEAD.replace("steps", "topology: {submission: {users: {al: x}}}\nsteps")
HANDED_IN = SEND.replace("}\n", ", submission: {user: al, HOW}}\n")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("delivered: batch", "`delivered`: all of batch is to be refused with 535"),
        ("deferred: batch", "`deferred`: all of batch is to be refused with 535"),
        ("reply: {from: client, code: 535, batch: batch}", ""),
        ("reply: {from: client, by: client, code: 535}", ""),
        ("reply: {from: mx1, code: 535, verb: AUTH}", "`verb`: mx1 has no AUTH"),
    ],
)
def test_what_is_to_be_refused_goes_nowhere(condition: str, said: str) -> None:
    step = HANDED_IN.replace("HOW", "password: y, refused: 535")
    wait = f"  - eventually: {{within: 1s, {condition}}}\n"
    found = lint(step + wait, head=BY_PROGRAM)
    assert len(found) == bool(said)
    assert all(text.startswith(f"6: {said}") for text in found)


def test_a_program_waits_for_what_a_server_says() -> None:
    bad = "  - fault: {id: x, reply: {host: client, verb: AUTH, code: 454}}\n"
    steps = bad + HANDED_IN.replace("HOW", "refused: 454") + "  - heal: x\n"
    assert said(steps, head=BY_PROGRAM) == []
    assert len(said(bad + SEND + "  - heal: x\n", head=BY_PROGRAM)) == 1
