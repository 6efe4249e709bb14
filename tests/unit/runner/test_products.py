"""Conditions while a story runs, where a host is a product that does not tell of it; and backends
that have no products."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from mxlab.api.build import (
    attempt,
    config,
    deferred,
    delivered,
    etrn,
    eventually,
    fault,
    never,
    reply,
    send,
)
from mxlab.api.run import run as played
from mxlab.backends.base import Order, Progress
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.errors import UnknownName, Unsupported
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Fault
from mxlab.model.topology import Submitters, Topology
from mxlab.plan.software import with_software
from mxlab.runner.runner import run
from mxlab.scenario.refusal import refuse

WAVE = send("wave", to="bob@example.test", count=2)


class PretendingBackend(SimBackend):
    """Has our servers in all nodes, and says that they are the products that are asked for."""

    products = ("postfix", "exim", "opensmtpd")

    @asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[SimLab]:
        wanted = order.topology
        ours = with_software(wanted, dict.fromkeys(wanted.software, "mxlab"))
        async with super().deploy(replace(order, topology=ours), progress, keep=keep) as lab:
            lab.topology = wanted
            yield lab


def mended(story: Scenario, **software: str) -> Scenario:
    """The same story where hosts are products."""
    return msgspec.structs.replace(story, topology=with_software(story.topology, software))


def found(*steps: AnyStep, **software: str) -> list[Finding]:
    """What steps with a condition come to where hosts are said to be products."""
    story = mended(Scenario(title="t", steps=steps, expect=("nothing-lost",)), **software)
    result = simulate(lambda: run(story, PretendingBackend(), lab="l", run_id="r"))
    return [finding for finding in result.findings if finding.check.startswith("step")]


def test_what_is_not_told_does_not_fail_in_time_but_is_unknown() -> None:
    step = eventually(reply("mx1", "2xx", verb="STARTTLS", by="client"), within="5s")
    (ours,) = found(WAVE, step)
    assert ours.verdict is Verdict.FAIL
    (finding,) = found(WAVE, step, client="postfix")
    assert finding.verdict is Verdict.UNKNOWN
    assert "client is Postfix, which does not tell its conversations" in finding.details[-1]


def test_that_something_never_happens_is_unknown_where_it_is_not_told() -> None:
    step = never(reply("mx1", "2xx", verb="STARTTLS", by="client"), during="5s")
    assert [one.verdict for one in found(WAVE, step)] == [Verdict.PASS]
    (finding,) = found(WAVE, step, client="exim")
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.text.endswith("it rests on what is not told")
    assert finding.details


def test_a_number_that_was_seen_may_not_be_all_of_them() -> None:
    step = eventually(reply("mx1", "2xx", verb="RCPT", by="client", count=2), within="5s")
    assert [one.verdict for one in found(WAVE, step)] == [Verdict.PASS]
    (finding,) = found(WAVE, step, client="exim")
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.details
    once = eventually(reply("mx1", "2xx", verb="RCPT", by="client"), within="5s")
    assert [one.verdict for one in found(WAVE, once, client="exim")] == [Verdict.PASS]


def test_that_mail_is_not_seen_to_wait_names_what_is_not_told() -> None:
    down = fault("down", "kill", "mx1")
    steps = (down, WAVE, eventually(deferred("wave"), within="1s"))
    (finding,) = found(*steps, mx2="opensmtpd")
    if finding.verdict is not Verdict.PASS:
        assert finding.verdict is Verdict.UNKNOWN
        assert "does not tell which destinations it leaves alone" in str(finding.details)


def test_what_is_told_by_products_too_is_as_ever() -> None:
    steps = (
        WAVE,
        eventually(delivered("wave"), within="1m"),
        eventually(attempt("mx1"), within="1s"),
    )
    verdicts = [one.verdict for one in found(*steps, mx1="exim", client="postfix")]
    assert verdicts == [Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize("backend", ["sim", "process"])
def test_a_backend_without_products_says_so_before_anything_starts(backend: str) -> None:
    story = Scenario(title="t", steps=(WAVE,), expect=("nothing-lost",))
    with pytest.raises(Unsupported, match=f"mx2 is to be Postfix.*the {backend} backend has none"):
        played(story, backend, software={"mx2": "postfix"})
    with pytest.raises(UnknownName, match="no mail server is called 'mx9'"):
        played(story, backend, software={"mx9": "postfix"})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (fault("full", "mailbox-full", "mx1", address="bob@example.test"), "it delivers by itself"),
        (fault("ro", "read-only", "mx1"), "its disk is its own"),
    ],
)
def test_a_fault_that_a_product_cannot_have_is_unsupported_before_anything_starts(
    broken: Fault, why: str
) -> None:
    kind = broken.mechanism.kind
    with pytest.raises(Unsupported, match=f"Exim on mx1 cannot have {kind}: {why}"):
        found(broken, mx1="exim")
    assert found(broken, mx2="exim") == []


@pytest.mark.parametrize(
    ("shape", "host", "why"),
    [
        (Topology(resolver="iterative"), "mx2", "mx2 runs exim, which asks one DNS server"),
        (Topology(dns=("ns1", "ns2")), "client", "client runs exim, which asks one DNS server"),
        (Topology(submission=Submitters({"alice": "x"})), "client", "client takes submissions"),
        (Topology(imap=True), "mx1", "mailboxes of mxlab only, and mx1 runs exim"),
    ],
)
def test_what_a_product_cannot_be_in_a_lab_is_unsupported_before_anything_starts(
    shape: Topology, host: str, why: str
) -> None:
    story = Scenario(title="t", steps=(WAVE,), expect=("nothing-lost",), topology=shape)
    with pytest.raises(Unsupported, match=why):
        refuse(mended(story, **{host: "exim"}), PretendingBackend())
    refuse(story, PretendingBackend())


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (etrn("mx1", asks="mx2"), "cannot have etrn: it does not know the command"),
        (config("mx2", {"limits.message_size": 1000}), "cannot have config: it reads its"),
    ],
)
def test_a_step_that_a_product_cannot_have_is_unsupported_too(step: AnyStep, why: str) -> None:
    with pytest.raises(Unsupported, match=f"OpenSMTPD on mx2 {why}"):
        found(step, mx2="opensmtpd")
    assert found(step, mx2="exim") == []
