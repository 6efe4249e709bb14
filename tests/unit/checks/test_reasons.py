"""A failed `eventually` says the reason behind it, for each kind of condition."""

import pytest

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.condition import CONDITIONS
from mxlab.model.finding import Verdict
from mxlab.runner import runner
from mxlab.scenario.load import loads
from tests.support.scenario_text import END, HEAD

SEND = "  - send: {id: batch, count: 3, from: alice@client.test, to: bob@example.test}\n"
TWO = SEND.replace("to: bob@example.test", "to: [bob@example.test, carol@example.test]")
DOWN = "  - fault: {id: x, kill: mx1}\n"
BUSY = "  - fault: {id: x, reply: {host: mx1, verb: RCPT, code: 451, text: busy}}\n"
FULL = "  - fault: {id: x, mailbox-full: {host: mx1, address: bob@example.test}}\n"

CASES = [
    (BUSY + SEND, "delivered: batch", ["mx2 holds it: ", "451 4.0.0 busy; next attempt in "]),
    (DOWN + SEND, "delivered: batch", ["mx2 holds it: ", "connect to mx1.example.test"]),
    (
        DOWN + "  - fault: {id: y, kill: mx2}\n" + SEND,
        "delivered: batch",
        ["client holds it: 4.4.1 connect to mx2", "next attempt "],
    ),
    (
        "  - fault: {id: x, kill: dns}\n" + SEND,
        "delivered: batch",
        ["client holds it: 451 4.4.3 no answer in the lookup of example.test MX"],
    ),
    (
        BUSY.replace("451", "550, recipient: carol@example.test") + TWO,
        "delivered: batch",
        ["for carol@example.test and 2 more: it was given up: mx1.example.test: 550 5.0.0 busy"],
    ),
    (FULL + SEND, "delivered: batch", ["mx1 holds it: 452 4.2.2 the mailbox", "next attempt in"]),
    (
        DOWN + SEND + "  - eventually: {within: 1m, queue: {host: mx2, holds: batch}}\n"
        "  - fault: {id: y, kill: mx2}\n",
        "delivered: batch",
        ["and 2 more: mx2 holds it, and is down (y: kill)"],
    ),
    (SEND, "queue: {host: mx2, holds: batch}", ["and 2 more: it is delivered"]),
    (DOWN + SEND, "queue: {host: mx2, count: 5}", ["and 2 more: mx2 holds it: 4.4.1 connect"]),
    (
        SEND + "  - fault: {id: y, stop: mx2}\n",
        "queue: {host: mx2, count: 2}",
        ["nothing is queued at mx2, which is down (y: stop)"],
    ),
    (SEND, "bounced: batch", ["for bob@example.test and 2 more: it is delivered"]),
    (BUSY + SEND, "bounced: batch", ["mx2 holds it: ", "451 4.0.0 busy; next attempt in "]),
    (SEND, "deferred: batch", ["and 2 more: it is delivered"]),
    (SEND, "retries: {batch: batch, count: 9, seconds: 1}", ["and 2 more: it is delivered"]),
    (
        SEND,
        "mailbox: {address: carol@example.test, count: 3}",
        ["no message for carol@example.test is on its way"],
    ),
    (
        FULL + TWO,
        "mailbox: {address: bob@example.test, at-least: 3}",
        ["for bob@example.test and 2 more: mx1 holds it: 452 4.2.2 the mailbox of bob"],
    ),
    (
        "  - fault: {id: x, disk-full: mx2}\n" + SEND,
        "struck: x",
        ["x was set 20s ago; mail or a question never came to mx2 since"],
    ),
    (
        FULL.replace("bob", "carol") + SEND,
        "struck: x",
        ["x was set 20s ago; mail or a question came to mx1 3 times since"],
    ),
    (SEND, "attempt: {host: mx2, by: client}", ["client tried mx1 (", "wanted: mx2 is tried"]),
    (SEND, "reply: {from: mx1, code: 450, verb: RCPT}", ["mx1 to RCPT: 250 2.1.5 ("]),
    (
        BUSY.replace("451", "550") + SEND,
        "notified: {address: alice@client.test, code: 5.1.1}",
        ["alice@client.test is told failed with 5.0.0 (3)"],
    ),
    (SEND, "asked: {name: example.test, type: TXT}", ["client asked dns for example.test MX ("]),
    (
        BUSY.replace("451", "550") + SEND,
        "bounced: {batch: batch, code: 5.1.1}",
        ["3 of 3 bounced; 3 for another reason: 5.0.0 550 5.0.0 busy"],
    ),
    (FULL + "  - heal: x\n" + SEND, "struck: x", ["x was healed 20s ago"]),
]


@pytest.mark.parametrize(("steps", "condition", "told"), CASES)
def test_the_reason_is_told(steps: str, condition: str, told: list[str]) -> None:
    story = HEAD + steps + f"  - eventually: {{within: 20s, {condition}}}\n" + END
    scenario = loads(story)
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="why", run_id="why"))
    (failed,) = [
        f for f in result.findings if f.check.startswith("step") if f.verdict is Verdict.FAIL
    ]
    said = "\n".join((failed.text, *failed.details))
    assert "in the end " in said
    for words in told:
        assert words in said


def test_every_kind_of_condition_is_among_them() -> None:
    assert {condition.partition(":")[0] for _, condition, _ in CASES} == CONDITIONS.keys()


def test_what_is_the_same_for_many_is_said_once() -> None:
    batches = "".join(
        SEND.replace("batch", f"b{n}").replace("bob", f"bob{n}").replace("count: 3", "count: 200")
        for n in range(2)
    )
    story = HEAD + DOWN + batches + "  - eventually: {within: 20s, delivered: b1}\n" + END
    result = simulate(lambda: runner.run(loads(story), SimBackend(), lab="why", run_id="why"))
    (failed,) = [
        f for f in result.findings if f.check.startswith("step") if f.verdict is Verdict.FAIL
    ]
    assert "for bob1@example.test and " in "\n".join((failed.text, *failed.details))
    assert len(failed.details) <= 6
