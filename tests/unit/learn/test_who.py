"""Questions that a host answers: who wrote the report, who refused; and records that must not live
too long."""

import pytest
from msgspec.structs import replace

from mxlab.learn.goals import look
from mxlab.model.exercise import Exercise
from mxlab.model.goal import Wish, ZoneRecord
from mxlab_services.control.requests import ZoneUpdate
from tests.support.learning import Sitting, plain, sitting

REFUSED_LATE = """
  - fault: {id: refusing, reply: {host: mx1, verb: RCPT, code: 550}}
  - send: {id: straight, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, bounced: straight}
  - fault: {id: down, stop: mx1}
  - send: {id: late, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, queue: {host: mx2, holds: late}}
  - heal: down
  - eventually: {within: 5m, bounced: late}
  - send: {id: mine, from: alice@client.test, to: carol@client.test}
  - eventually: {within: 60s, delivered: mine}
"""


def asked(question: str) -> Exercise:
    return plain(f"{{id: q, text: t, answer: {question}}}", setup=REFUSED_LATE)


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("{reporter-of: late}", "The host mx2.", "client"),
        ("{reporter-of: straight}", "client.client.test", "mx2"),
        ("{refuser-of: late}", "mx1.example.test", "mx2"),
        ("{refuser-of: straight}", "mx1", "client"),
        ("{host-is: mx2}", "mx2.example.test.", "mx1"),
    ],
)
def test_a_host_is_asked_for(question: str, right: str, wrong: str) -> None:
    async def story(student: Sitting) -> None:
        assert (await student.check("q", right)).verdict == "done"
        assert (await student.check("q", wrong)).verdict == "wrong"
        assert (await student.check("q", "yes")).verdict == "not understood"

    sitting(asked(question), story)


@pytest.mark.parametrize("question", ["{reporter-of: mine}", "{refuser-of: mine}"])
def test_where_nobody_refused_nobody_can_say(question: str) -> None:
    async def story(student: Sitting) -> None:
        assert (await student.check("q", "mx1")).verdict == "unknown"

    sitting(asked(question), story)


def test_a_record_that_may_be_remembered_too_long_does_not_count() -> None:
    goal = ZoneRecord("example.test", "MX", has="10 mx1.example.test.", ttl_most=60)

    async def story(student: Sitting) -> None:
        dns = student.lab.nodes["dns"]
        assert (await look(Wish(goal), await student.now())).holds
        brief = Wish(replace(goal, ttl_most=5))
        seen = await look(brief, await student.now())
        assert (seen.holds, seen.words.partition(";")[0]) == (
            False,
            "example.test 60 MX 10 mx1.example.test.",
        )
        await dns.request(ZoneUpdate("example.test", [], [], ttl=5))
        assert (await look(brief, await student.now())).holds

    sitting(plain("{id: q, text: t, answer: {down: {}}}"), story)
    assert str(goal) == "there is example.test MX with a TTL of at most 60 10 mx1.example.test."
