"""An exercise that is begun anew: nothing of before counts."""

from mxlab.learn.begin import begin_anew
from tests.support.learning import Sitting, plain, sitting

SETUP = """
  - send: {id: batch, count: 2, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, mailbox: {address: bob@example.test, count: 2}}
"""


def test_what_was_delivered_before_a_reset_is_not_waited_for_in_vain() -> None:
    async def story(student: Sitting) -> None:
        began = student.lab.clock.time()
        await begin_anew(student.lab, student.exercise)
        assert student.lab.clock.time() - began < 60

    sitting(plain("{id: q, text: t, answer: {down: {}}}", setup=SETUP), story)
