"""Rules of what a server does with each reply that it gets, and with those that it does not get."""

from mxlab.conform.outward import (
    HOME,
    RETRY,
    again,
    arrival,
    bounced,
    failures,
    given,
    report,
    script,
)
from mxlab.conform.place import GOOD, Surroundings
from mxlab.conform.record import spacing
from mxlab.conform.rule import Book, ConformRule, Judgement, broken, differs, kept, unseen

OUTCOMES: Book[Surroundings] = Book("sends")
rule = OUTCOMES.rule
QUIET = 6.0  # real seconds in which a server that got the reply wrong would try again
STAGES = {"mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "dot": "DOT"}


def _declare_stages() -> None:
    for name, stage in STAGES.items():
        what = "the final dot" if stage == "DOT" else stage
        soft, hard, cut = f"b-4yz-{name}", f"b-5yz-{name}", f"b-cut-{name}"

        async def again_(at: Surroundings, rule: str = soft) -> Judgement:
            return await again(at, rule)

        async def bounced_(at: Surroundings, rule: str = hard) -> Judgement:
            return await bounced(at, rule)

        async def cut_(at: Surroundings, rule: str = cut) -> Judgement:
            return await again(at, rule)

        for one, tried, check, text, stays in (
            (soft, f"451 to {what}: tried again later", again_, "451 4.3.0 later", False),
            (hard, f"550 to {what}: bounced at once", bounced_, "550 5.7.1 no", True),
            (cut, f"closed in the place of a reply to {what}: tried again", cut_, "|cut", False),
        ):
            wanted = script(stage, text, about=f"FROM:<{one}@", stays=stays)
            OUTCOMES.add(
                ConformRule(
                    one,
                    "RFC 5321 §4.2.1, §6.1",
                    tried,
                    "sends",
                    check,
                    60.0,
                    script=((GOOD, wanted),),
                )
            )


_declare_stages()


@rule(
    "b-421-rcpt", "RFC 5321 §3.8", "421 to RCPT, and closed: tried again",
    script=((GOOD, script("RCPT", "421 4.3.2 closing|cut", about="FROM:<b-421-rcpt@")),),
    seconds=60.0,
)  # fmt: skip
async def closing(at: Surroundings) -> Judgement:
    return await again(at, "b-421-rcpt")


@rule(
    "b-one-refused", "RFC 5321 §3.3", "550 to one of two recipients: it bounces, the other comes",
    script=((GOOD, script("RCPT", "550 5.1.1 nobody", about="b-one-refused.bad@", stays=True)),),
    seconds=60.0,
)  # fmt: skip
async def one_refused(at: Surroundings) -> Judgement:
    message = await given(at, "b-one-refused", users=("good", "bad"))
    told = await report(at, message.sender)
    came = at.log.taken(message.token)
    if not any("b-one-refused.good@" in line for one in came for line in one.rcpts):
        return broken("the other recipient's mail does not come")
    if told is None:
        return broken("the sender hears nothing of it")
    if b"b-one-refused.good@" in _status_part(told.plain):
        return broken("the report names the other recipient, too")
    return kept() if len(came) == 1 else broken(f"the other recipient has {len(came)} copies")


@rule(
    "b-one-deferred", "RFC 5321 §3.3", "450 to one of two recipients: it alone is tried again",
    script=((GOOD, script("RCPT", "450 4.2.1 later", about="b-one-deferred.slow@")),),
    seconds=60.0,
)  # fmt: skip
async def one_deferred(at: Surroundings) -> Judgement:
    message = await given(at, "b-one-deferred", users=("quick", "slow"))

    def counts() -> tuple[int, int]:
        taken = at.log.taken(message.token)
        copies = [
            sum(
                code.startswith("2") and f".{user}@" in line
                for one in taken
                for line, code in zip(one.rcpts, one.codes, strict=False)
            )
            for user in ("quick", "slow")
        ]
        return copies[0], copies[1]

    await at.log.until(lambda: counts()[1], RETRY)
    quick, slow = counts()
    if (quick, slow) == (1, 1):
        return kept()
    return broken(f"copies: {quick} of the one that was taken, {slow} of the one that had to wait")


@rule(
    "b-452-too-many", "RFC 5321 §4.5.3.1.10", "452 to the third recipient: the rest goes after",
    script=((GOOD, script("RCPT", "452 4.5.3 too many", about="b-452-too-many.c@")),),
    seconds=60.0,
)  # fmt: skip
async def too_many(at: Surroundings) -> Judgement:
    message = await given(at, "b-452-too-many", users=("a", "b", "c"))
    await at.log.until(lambda: len(at.log.taken(message.token)) > 1, RETRY)
    taken = at.log.taken(message.token)
    if len(taken) < 2:
        return broken("the third recipient's mail does not come")
    return kept(f"after {spacing(taken)[0]:g} s")


@rule(
    "b-lost-ack", "RFC 5321 §4.5.4.2, RFC 1047", "the reply to the dot is lost: sent once more",
    script=((GOOD, script("DOT", "|cut", about="FROM:<b-lost-ack@")),), seconds=60.0,
)  # fmt: skip
async def lost_ack(at: Surroundings) -> Judgement:
    return await again(at, "b-lost-ack")


@rule(
    "b-odd-2yz", "RFC 5321 §4.2", "259 to RCPT and 258 to the dot are a yes like 250",
    script=(
        (GOOD, script("RCPT", "259 2.1.5 fine", about="FROM:<b-odd-2yz@", stays=True)),
        (GOOD, script("DOT", "258 2.0.0 done", about="FROM:<b-odd-2yz@", stays=True)),
    ),
    seconds=60.0,
)  # fmt: skip
async def odd_yes(at: Surroundings) -> Judgement:
    message = await given(at, "b-odd-2yz")
    if await arrival(at, message.token) is None:
        return broken("the message does not come")
    await at.log.until(
        lambda: len(at.log.with_word("b-odd-2yz@")) > 1 or failures(at, message.sender), QUIET
    )
    if failures(at, message.sender):
        return broken("it bounces what was taken")
    if len(at.log.with_word("b-odd-2yz@")) > 1:
        return broken("it sends what was taken once more")
    return kept()


@rule(
    "b-odd-4yz", "RFC 5321 §4.2", "459 to RCPT is a no for now, like 450",
    script=((GOOD, script("RCPT", "459 4.9.9 odd", about="FROM:<b-odd-4yz@")),), seconds=60.0,
)  # fmt: skip
async def odd_later(at: Surroundings) -> Judgement:
    return await again(at, "b-odd-4yz")


@rule(
    "b-odd-5yz", "RFC 5321 §4.2", "559 to RCPT is a no for good, like 550",
    script=((GOOD, script("RCPT", "559 5.9.9 odd", about="FROM:<b-odd-5yz@", stays=True)),),
    seconds=60.0,
)  # fmt: skip
async def odd_never(at: Surroundings) -> Judgement:
    return await bounced(at, "b-odd-5yz")


@rule("b1-one-copy", "RFC 5321 §4.5.4.1", "three recipients at a domain: one copy for all")
async def one_copy(at: Surroundings) -> Judgement:
    message = await given(at, "b1-one-copy", users=("a", "b", "c"))

    def recipients() -> int:
        return sum(len(one.rcpts) for one in at.log.taken(message.token))

    await at.log.until(lambda: recipients() >= 3, RETRY)
    taken = at.log.taken(message.token)
    if recipients() != 3:
        return broken(f"{recipients()} recipients' mail comes")
    return kept() if len(taken) == 1 else differs(f"{len(taken)} copies")


@rule(
    "b4-durable", "RFC 5321 §6.1", "killed after its 250, and started: the message comes",
    script=((GOOD, script("RCPT", "450 4.2.1 later", about="FROM:<b4-durable@")),),
    seconds=90.0, alone=True,
)  # fmt: skip
async def durable(at: Surroundings) -> Judgement:
    message = await given(at, "b4-durable", HOME)
    await at.subject.kill()
    await at.subject.start()
    came = await arrival(at, message.token)
    if came is None:
        return broken(f"it does not come within {RETRY:.0f} s: what got a 250 is lost")
    copies = len(at.log.taken(message.token))
    return kept() if copies == 1 else unseen(f"{copies} copies come")


def _status_part(content: bytes) -> bytes:
    """What a report says of recipients, without what it gives back of the message."""
    start = content.lower().find(b"message/delivery-status")
    end = min(
        (
            n
            for m in (b"message/rfc822", b"text/rfc822")
            if (n := content.lower().find(m, start)) > 0
        ),
        default=len(content),
    )
    return content[start:end]
