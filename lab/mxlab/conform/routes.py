"""Rules of where a server sends: which exchange, in which order, and which never."""

from mxlab.conform.outward import (
    ONWARD,
    arrival,
    failures,
    given,
    onward,
    report,
    script,
    status_of,
)
from mxlab.conform.place import NEXT, Surroundings
from mxlab.conform.rule import Book, Judgement, Obstacle, broken, differs, kept, unseen
from mxlab.faults import inject, undo
from mxlab_services.faults.kinds import DnsServfail

ROUTES: Book[Surroundings] = Book("sends")
rule = ROUTES.rule
CONNECTIONS = 10  # so many, as it may choose anew for each
EQUALS = 20  # messages at the most that may all go to one of two equals by chance: 1 in 2**19
QUIET = 10.0  # real seconds in which something that must not happen would


@rule("a2-implicit", "RFC 5321 §5.1", "a domain without MX, with an address: it is the host")
async def implicit(at: Surroundings) -> Judgement:
    message = await given(at, "a2-implicit", "implicit.test")
    came = await arrival(at, message.token)
    return kept() if came else broken("the mail does not come")


@rule("a2-no-fallback", "RFC 5321 §5.1", "an MX without an address: never to the domain's own")
async def no_fallback(at: Surroundings) -> Judgement:
    message = await given(at, "a2-no-fallback", "unusable.test")
    await at.log.until(lambda: failures(at, message.sender) or at.log.taken(message.token), QUIET)
    if at.there(message.token):
        return broken("it goes to the domain's own address")
    told = failures(at, message.sender)
    return kept(f"it bounces, {status_of(told[0])}") if told else kept("it waits")


@rule("a3-lower-first", "RFC 5321 §5.1", "of two exchanges the one with the lower preference")
async def lower_first(at: Surroundings) -> Judgement:
    message = await given(at, "a3-lower-first", "small.test")
    came = await arrival(at, message.token)
    if came is None:
        return broken("the mail does not come")
    return kept() if came.peer == "small" else broken("the other one gets it")


@rule(
    "a3-equals", "RFC 5321 §5.1", "of two exchanges with one preference now this, now that",
    seconds=60.0,
)  # fmt: skip
async def equals(at: Surroundings) -> Judgement:
    """For each connection anew: one that is there already may be used again."""
    found: set[str] = set()
    connections: set[int] = set()
    for number in range(1, EQUALS + 1):
        message = await given(at, "a3-equals", "equal.test", users=(str(number),))
        came = await arrival(at, message.token)
        if came is None:
            return broken(f"message {number} does not come")
        found.add(came.peer)
        connections.add(id(came.conversation))
        if len(found) == 2:
            return kept(f"seen after {number}")
    if len(connections) < CONNECTIONS:
        return unseen(f"{EQUALS} messages go to {found.pop()} in {len(connections)} connections")
    return broken(f"{EQUALS} messages all go to {found.pop()}")


@rule("a5-null-mx", "RFC 7505 §3", "a null MX: bounced at once, 5.1.10")
async def null_mx(at: Surroundings) -> Judgement:
    try:
        message = await given(at, "a5-null-mx", "null.test")
    except Obstacle as refused:
        return differs(f"it is refused at once: {refused}")
    told = await report(at, message.sender, seconds=QUIET)
    if at.there(message.token):
        return broken("it is sent all the same")
    if told is None:
        return broken("it waits, for nothing")
    status = status_of(told)
    return kept(status) if status == "5.1.10" else differs(f"it bounces with {status}")


@rule("a7-loop", "RFC 5321 §5.1", "the best exchange is the server itself: bounced, 5.4.6")
async def loop(at: Surroundings) -> Judgement:
    try:
        message = await given(at, "a7-loop", "self.test")
    except Obstacle as refused:
        return differs(f"it is refused at once: {refused}")
    told = await report(at, message.sender, seconds=QUIET)
    if told is None:
        return differs("it waits")
    status = status_of(told)
    return kept(status) if status == "5.4.6" else differs(f"it bounces with {status}")


@rule("a7-not-worse", "RFC 5321 §5.1", "never to an exchange worse than the server itself")
async def not_worse(at: Surroundings) -> Judgement:
    message = await given(at, "a7-not-worse", "worse.test")
    came = await arrival(at, message.token, peer=NEXT, seconds=QUIET)
    if came:
        return broken("the worse one gets it")
    told = failures(at, message.sender)
    return broken(f"it bounces, {status_of(told[0])}") if told else kept("it waits")


@rule("a1-servfail", "RFC 5321 §5.1", "DNS fails for now: the mail waits, and comes", seconds=90.0)
async def servfail(at: Surroundings) -> Judgement:
    fault = DnsServfail(host=at.lab.topology.dns_host, name="fail.test", subdomains=True)
    await inject(at.lab, "conform-servfail", fault)
    try:
        message = await given(at, "a1-servfail", "fail.test")
        told = await report(at, message.sender, seconds=QUIET)
    finally:
        await undo(at.lab, "conform-servfail", fault)
    if told:
        return broken(f"it bounces, {status_of(told)}")
    came = await arrival(at, message.token)
    return kept() if came else broken("when DNS is well again, the mail does not come")


@rule(
    "b-refused", "RFC 5321 §5.1", "nobody listens at the better exchange: the next one",
    seconds=ONWARD + 10,
)  # fmt: skip
async def refused_connection(at: Surroundings) -> Judgement:
    return await onward(at, "b-refused", "gone.test", "gone", NEXT)


@rule(
    "b-4yz-greeting", "RFC 5321 §5.1", "421 in the place of a greeting: the next exchange",
    script=(("grey", script("CONNECT", "421 4.3.2 not now|cut", stays=True)),), seconds=ONWARD + 10,
)  # fmt: skip
async def soft_greeting(at: Surroundings) -> Judgement:
    return await onward(at, "b-4yz-greeting", "grey.test", "grey", NEXT)


@rule(
    "b-5yz-greeting", "RFC 5321 §5.1", "554 in the place of a greeting: the next exchange",
    script=(("shut", script("CONNECT", "554 5.3.2 no service", stays=True)),), seconds=ONWARD + 10,
)  # fmt: skip
async def hard_greeting(at: Surroundings) -> Judgement:
    result = await onward(at, "b-5yz-greeting", "shut.test", "shut", NEXT)
    if result.kind == "broken" and "bounces" in result.found:
        return differs("it bounces: 554 is taken for the domain's word")
    return result


@rule(
    "b-no-greeting", "RFC 5321 §5.1", "the connection closes before a greeting: the next exchange",
    script=(("cut", script("CONNECT", "|cut", stays=True)),), seconds=ONWARD + 10,
)  # fmt: skip
async def no_greeting(at: Surroundings) -> Judgement:
    return await onward(at, "b-no-greeting", "cut.test", "cut", NEXT)


@rule(
    "b-silent-greeting", "RFC 5321 §4.5.3.2", "no greeting comes: the next exchange",
    script=(("mute", script("CONNECT", "|silence", stays=True)),), seconds=ONWARD + 10,
)  # fmt: skip
async def silent_greeting(at: Surroundings) -> Judgement:
    """A server may wait for five minutes (RFC 5321 §4.5.3.2.1), which are not waited for here."""
    waits = unseen(f"it waits for {ONWARD:.0f} s at least; five minutes are not waited for")
    return await onward(at, "b-silent-greeting", "mute.test", "mute", NEXT, nothing=waits)
