"""A `send` step as the client is asked to do it, and whether what came of it is as wanted."""

from collections import Counter
from collections.abc import Sequence

from mxlab.model.replycode import code_fits
from mxlab.model.scenario import Scenario
from mxlab.model.step import Send
from mxlab.model.submitting import Submitting
from mxlab.model.topology import Topology
from mxlab.scenario.functions import folder_of
from mxlab.scenario.mailfile import mail_in
from mxlab_services.control.replies import SubmittedMessage
from mxlab_services.control.requests import HandIn, Submit
from mxlab_services.submit.given import field_in

SHOWN = 3  # different replies


def submit_request(step: Send, scenario: Scenario, topology: Topology) -> Submit:
    """What the client is asked for. Raises UsageError where the step's file cannot be read."""
    return Submit(
        sender=step.reverse_path,
        recipients=list(step.addresses),
        count=step.count,
        size=step.size,
        rate=step.rate,
        concurrency=step.concurrency,
        subject=step.subject,
        body=step.body,
        headers=[field_in(line) for line in step.headers],
        notify=",".join(step.wishes).upper(),
        ret=(step.ret or "").upper(),
        content=mail_in(step.eml, folder_of(scenario)) if step.eml else None,
        batch=step.id,
        by=hand_in(step.submission, topology) if step.submission else None,
    )


def hand_in(how: Submitting, topology: Topology) -> HandIn:
    """How the program is to do it. Where no password is given, the topology has it."""
    users = topology.submission.users if topology.submission else {}
    password = how.password if how.password is not None else users.get(how.user or "", "")
    return HandIn(
        how.user,
        password,
        how.mechanism,
        how.port == 465,
        how.tls,
        how.tries,
        how.pauses,
    )


def not_as_wished(step: Send, answered: Sequence[SubmittedMessage]) -> str:
    """Why what was submitted is not what the step wants, or nothing."""
    replies = Counter(reply for one in answered for reply in one.refused.values())
    taken = sum(len(one.recipients) for one in answered)
    wanted = step.submission.refused if step.submission else None
    words = "; ".join(f"{reply} ({count})" for reply, count in replies.most_common(SHOWN))
    if wanted is None:
        return f"{replies.total()} of {replies.total() + taken} refused: {words}" if replies else ""
    if taken:
        return f"{taken} of {replies.total() + taken} taken" + (f"; refused: {words}" * bool(words))
    return "" if all(code_fits(wanted, reply) for reply in replies) else f"refused with {words}"
