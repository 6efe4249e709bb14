"""Tasks are judged by what the lab shows: done, not yet, wrong, unknown, wrecked."""

import asyncio

import pytest

from mxlab.exercise.load import read_exercise
from mxlab.learn.check import Judgement
from mxlab.model.exercise import Exercise
from mxlab_services.control.requests import (
    ConfigChange,
    QueueEdit,
    QueueFlush,
    Submit,
    ZoneUpdate,
)
from tests.support.learning import WHERE_IS_IT, Sitting, plain, sitting


def seat(seed: int = 0) -> Exercise:
    return read_exercise(WHERE_IS_IT, seed, "exercise.yaml", "where-is-it")


@pytest.mark.parametrize("seed", range(5))
def test_an_exercise_is_done_step_by_step_in_every_seat(seed: int) -> None:
    async def story(student: Sitting) -> None:
        primary = student.exercise.values["primary"]
        backup = student.exercise.values["backup"]
        assert (await student.check("locate", primary)).verdict == "wrong"
        assert (await student.check("locate", f"the host {backup}.")).verdict == "done"
        assert (await student.check("forward")).verdict == "not yet"
        await student.lab.nodes[primary].start()
        await student.lab.nodes[backup].request(QueueFlush())
        assert (await student.check("forward")).verdict == "done"

    sitting(seat(seed), story)


def test_a_wrong_way_is_told_only_to_who_went_it() -> None:
    async def story(student: Sitting) -> None:
        primary, backup = student.exercise.values["primary"], student.exercise.values["backup"]
        before = await student.check("forward")
        assert (before.verdict, before.told) == ("not yet", "")
        n = student.exercise.values["n"]
        assert before.observed == (f"0 of {n} delivered",)
        await student.lab.nodes[backup].request(QueueFlush())
        after = await student.check("forward")
        assert (after.verdict, after.told[:7]) == ("not yet", "A flush")
        assert primary in student.exercise.values.values()

    sitting(seat(), story)


def test_a_wrong_way_is_told_where_the_lab_is_so() -> None:
    exercise = plain(
        "{id: mend, text: t, done: {delivered: batch}, wrong: ["
        "{do: [mxlab stop mx2], when: {state: {host: mx2, is: stopped}}, text: Now both are down.},"
        "{do: [mxlab pause mx2], text: Anything.}]}"
    )

    async def story(student: Sitting) -> None:
        assert (await student.check("mend")).told == ""
        await student.lab.nodes["mx2"].stop()
        assert (await student.check("mend")).told == "Now both are down."
        await student.lab.nodes["mx2"].start()
        assert (await student.check("mend")).told == "Anything."

    sitting(exercise, story)


@pytest.mark.parametrize(
    ("answer", "verdict", "text"),
    [
        (None, "not yet", "wants an answer"),
        ("", "not understood", "the names of hosts"),
        ("x" * 10_000, "not understood", "the names of hosts"),
        ("\x1b[31m", "not understood", "the names of hosts"),
        ("mx1", "wrong", "that is not it"),
        ("MX2", "done", ""),
    ],
)
def test_an_answer_is_right_wrong_or_not_understood(
    answer: str | None, verdict: Judgement, text: str
) -> None:
    exercise = plain(
        "{id: where, text: t, answer: {holder-of: batch}, wrong: ["
        "{answer: the host mx1, text: It is down.}, {answer: client, text: It has sent them.}]}"
    )

    async def story(student: Sitting) -> None:
        found = await student.check("where", answer)
        assert found.verdict == verdict
        assert text in found.text
        assert found.told == ("It is down." if answer == "mx1" else "")
        assert "mx2" not in f"{found.text}{found.observed}{found.true}"  # never the solution
        assert found.costs == (verdict in ("wrong", "done") or answer is None)

    sitting(exercise, story)


def test_what_nobody_can_tell_is_unknown_and_costs_nothing() -> None:
    exercise = plain(
        "{id: when, text: t, answer: {next-retry-of: batch}}",
        "{id: why, text: t, answer: {reply-code-of: batch}}",
        "{id: code, text: t, answer: {status-code-of: batch}}",
        "{id: kept, text: t, answer: {lifetime-of: mx2}}",
    )

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx2"].kill()
        for task, why in (("when", "no host that runs"), ("code", "bounced"), ("kept", "mx2 is")):
            found = await student.check(task, "5 s")
            assert (found.verdict, found.costs) == ("unknown", False)
            assert why in found.text

    sitting(exercise, story)


def test_a_prediction_is_noted_and_what_is_true_comes_at_once_or_later() -> None:
    exercise = plain(
        "{id: guess, predict: {question: q, answer: {queued-at: mx2}}}",
        "{id: later, predict: {question: q, answer: {mailbox-of: bob@example.test}, after: mend}}",
        "{id: mend, text: t, done: {delivered: batch}}",
    )

    async def story(student: Sitting) -> None:
        good, bad = await student.check("guess", "3"), await student.check("guess", "seven")
        assert (good.verdict, good.true, bad.verdict, bad.true) == (
            "recorded",
            "3",
            "recorded",
            "3",
        )
        assert "just so" in good.text
        assert "not quite" in bad.text
        later = await student.check("later", "3")
        assert (later.verdict, later.true, later.costs) == ("recorded", "", False)
        for nothing in (None, "", "soon"):
            assert (await student.check("guess", nothing)).verdict in ("not yet", "not understood")

    sitting(exercise, story)


def test_a_check_waits_for_what_is_on_its_way() -> None:
    exercise = plain("{id: mend, text: t, done: {delivered: batch}}")

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx1"].start()
        await student.lab.nodes["mx2"].request(QueueFlush())
        assert (await student.check("mend")).verdict == "done"

    sitting(exercise, story)


def test_a_lab_at_rest_is_judged_at_once() -> None:
    exercise = plain("{id: mend, text: t, done: {mailbox: {address: bob@example.test, count: 1}}}",
                     setup="[]")  # fmt: skip

    async def story(student: Sitting) -> None:
        await asyncio.sleep(2)
        before = asyncio.get_running_loop().time()
        assert (await student.check("mend")).verdict == "not yet"
        assert asyncio.get_running_loop().time() - before < 0.01  # virtual seconds

    sitting(exercise, story)


def test_what_must_never_be_is_found_in_what_was() -> None:
    exercise = plain(
        "{id: mail, text: t, never: {mailbox: {address: carol@example.test, at-least: 1}}}",
        "{id: hold, text: t, never: {did: {host: mx2, act: hold}}}",
        "{id: gone, text: t, never: {not: {queue: {host: mx2, holds: batch}}}}",
        "{id: tried, text: t, never: {attempt: {host: mx1, by: mx2}}}",
    )

    async def story(student: Sitting) -> None:
        for task in ("mail", "hold", "gone"):
            assert (await student.check(task)).verdict == "done", task
        node = student.lab.nodes["mx2"]
        await node.request(QueueEdit("hold", ["ALL"]))
        await node.request(QueueEdit("delete", ["ALL"]))
        client = student.lab.nodes["client"]
        await student.lab.nodes["mx1"].start()
        await client.request(Submit("alice@client.test", ["carol@example.test"]))
        await asyncio.sleep(5)
        for task in ("mail", "hold", "gone"):
            found = await student.check(task)
            assert (found.verdict, "it came about" in found.text) == ("wrong", True), task

    sitting(exercise, story)


def test_what_must_never_be_and_is_on_its_way_is_waited_for() -> None:
    exercise = plain("{id: told, text: t, never: {notified: {address: alice@client.test}}}")

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx2"].request(QueueEdit("expire", ["ALL"]))
        assert (await student.check("told")).verdict == "wrong"

    sitting(exercise, story)


def test_a_lab_that_is_wrecked_is_told_as_such() -> None:
    exercise = plain(
        "{id: where, text: t, answer: {holder-of: batch}}",
        "{id: mend, text: t, done: {delivered: batch}}",
    )

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx2"].request(QueueEdit("delete", ["ALL"]))
        found = await student.check("mend")
        assert found.verdict == "wrecked"
        assert "of batch 3 messages are nowhere any more" in found.text
        assert "mxlab learn reset" in found.text
        for answer in ("mx2", "none"):
            assert (await student.check("where", answer)).verdict == "wrecked"

    sitting(exercise, story)


def test_mail_that_has_bounced_cannot_be_delivered_any_more() -> None:
    exercise = plain("{id: mend, text: t, done: {delivered: batch}}")

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx2"].request(QueueEdit("expire", ["ALL"]))
        found = await student.check("mend")
        assert (found.verdict, "have bounced" in found.text) == ("wrecked", True)

    sitting(exercise, story)


@pytest.mark.parametrize(
    ("wish", "holds"),
    [
        ("{state: {host: mx1, is: stopped}}", True),
        ("{state: {host: mx2, is: stopped}}", False),
        ("{not: {state: {host: mx2, is: running}}}", False),
        ("{record: {name: example.test, type: MX}}", True),
        ("{record: {name: example.test, type: MX, count: 2}}", True),
        ("{record: {name: example.test, type: MX, count: 3}}", False),
        ("{record: {name: example.test, type: MX, has: 10 MX1.example.test}}", True),
        ("{record: {name: example.test, type: MX, has: 30 mx1.example.test.}}", False),
        ("{record: {name: example.test, type: MX, lacks: 10 mx1.example.test.}}", False),
        ("{record: {name: example.test, type: MX, lacks: 30 mx1.example.test.}}", True),
        ("{record: {name: www.example.test, type: A}}", False),
        ("{record: {name: mx1.example.test, type: A, server: dns}}", True),
        ("{setting: {host: mx2, key: limits.recipients, is: 1000}}", True),
        ("{setting: {host: mx2, key: limits.recipients, at-least: 1001}}", False),
        ("{setting: {host: mx2, key: timeouts.greeting, is: 3s}}", True),
        ("{setting: {host: mx2, key: timeouts.greeting, at-least: 2s}}", True),
        ("{setting: {host: mx2, key: retry.schedule, is: workshop}}", True),
        ("{setting: {host: mx1, key: retry.schedule, is: workshop}}", False),  # it is down
        ("{not: {setting: {host: mx1, key: retry.schedule, is: workshop}}}", False),
        ("{healed: down}", False),
        ("{not: {healed: down}}", True),
        ("{did: {host: mx2, act: flush}}", False),
        ("{queue: {host: mx2, holds: batch}}", True),
        ("{not: {delivered: batch}}", True),
        ("[{state: {host: mx1, is: stopped}}, {state: {host: mx2, is: stopped}}]", False),
    ],
)
def test_a_wish_holds_or_does_not(wish: str, holds: bool) -> None:
    exercise = plain(f"{{id: it, text: t, done: {wish}}}")

    async def story(student: Sitting) -> None:
        found = await student.check("it")
        assert found.verdict == ("done" if holds else "not yet")
        assert bool(found.observed) is not holds

    sitting(exercise, story)


@pytest.mark.parametrize("act", ["flush", "hold", "release", "requeue", "config", "start", "zone"])
def test_an_act_is_seen_once_it_is_done(act: str) -> None:
    host = {"zone": "dns", "start": "mx1"}.get(act, "mx2")
    exercise = plain(f"{{id: it, text: t, done: {{did: {{host: {host}, act: {act}}}}}}}")

    async def story(student: Sitting) -> None:
        assert (await student.check("it")).verdict == "not yet"
        node = student.lab.nodes[host]
        match act:
            case "flush":
                await node.request(QueueFlush())
            case "config":
                await node.request(ConfigChange({"limits.recipients": 7}))
            case "start":
                await node.start()
            case "zone":
                await node.request(ZoneUpdate("example.test", ["x.example.test. 1 IN A 1.2.3.4"]))
            case "hold" | "release" | "requeue":
                await node.request(QueueEdit("hold", ["ALL"]))
                await node.request(QueueEdit(act, ["ALL"]))
        assert (await student.check("it")).verdict == "done"

    sitting(exercise, story)


PROVE = (
    "{id: proof, text: t, prove: {steps: ["
    "{fault: {id: outage, kill: mx1}},"
    "{send: {id: during, from: alice@client.test, to: bob@example.test}},"
    "{eventually: {within: 30s, queue: {host: mx2, holds: during}}},"
    "{heal: outage}], expect: [nothing-lost, {delivered: during}]}}"
)
REFUSING = "[{config: {host: mx2, set: {limits.message_size: 1}}}]"


def test_a_proof_fails_before_the_repair_and_passes_after_and_again() -> None:
    exercise = plain(PROVE, setup=REFUSING)

    async def story(student: Sitting) -> None:
        for _ in range(2):
            found = await student.check("proof")
            assert found.verdict == "not yet", found
            assert "step 3" in found.observed[0]
            assert await student.lab.nodes["mx1"].state() == "running"  # healed
        await student.lab.nodes["mx2"].request(ConfigChange({"limits.message_size": 100000}))
        for _ in range(2):
            found = await student.check("proof")
            assert found.verdict == "done", found

    sitting(exercise, story)


def test_a_proof_looks_at_its_own_mail_only() -> None:
    exercise = plain(PROVE)  # the batch of the setup waits at mx2 all the while

    async def story(student: Sitting) -> None:
        await student.lab.nodes["mx1"].start()
        await student.lab.nodes["mx2"].request(QueueEdit("delete", ["ALL"]))  # of the setup
        assert (await student.check("proof")).verdict == "done"

    sitting(exercise, story)
