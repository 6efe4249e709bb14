"""Rules of addresses and of who may send where, as whoever sends to the server sees it."""

from mxlab.conform.rule import Book, Judgement, broken, differs, kept, unseen
from mxlab.conform.server import TestedServer, consent, refusal

ADDRESSES: Book[TestedServer] = Book("takes")
rule = ADDRESSES.rule
ELSEWHERE = "somebody@elsewhere.example"  # a domain that can be nobody's (RFC 2606)
MALFORMED = ("<@>", "<a b@c.test>", "<a@b..test>", "<a@>", "<.a.@b.test>", "a@b@c")


@rule("s-null-path", "RFC 5321 §4.5.5", "MAIL FROM:<> is taken")
async def null_path(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask("MAIL FROM:<>")
        if not answer.good:
            return broken(str(answer))
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return consent(answer)


@rule("s-postmaster", "RFC 5321 §4.5.1", "postmaster without a domain, in any case")
async def postmaster(at: TestedServer) -> Judgement:
    return await _taken(at, "postmaster", "PostMaster")


@rule("s-postmaster-domain", "RFC 5321 §4.5.1", "postmaster at a domain of the server's")
async def postmaster_domain(at: TestedServer) -> Judgement:
    return await _taken(at, f"postmaster@{at.domain}", f"POSTMASTER@{at.domain}")


@rule("s-domain-any-case", "RFC 5321 §2.4", "a recipient's domain in upper case")
async def domain_any_case(at: TestedServer) -> Judgement:
    local = at.to.rpartition("@")[0]
    return await _taken(at, f"{local}@{at.domain.upper()}")


@rule("s-user-any-case", "RFC 5321 §2.4", "a recipient's local part in upper case")
async def user_any_case(at: TestedServer) -> Judgement:
    local = at.to.rpartition("@")[0]
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{local.upper()}@{at.domain}>")
    return consent(answer, "a local part may be told apart by case, though few do")


@rule("s-quoted-user", "RFC 5321 §4.1.2", "a local part in quotes that needs none is the same")
async def quoted_user(at: TestedServer) -> Judgement:
    local = at.to.rpartition("@")[0]
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f'RCPT TO:<"{local}"@{at.domain}>')
    if answer.code in (500, 501, 553):
        return broken(f"{answer}: the form is allowed")
    return consent(answer, "it is taken for another user")


@rule("s-source-route", "RFC 5321 §4.1.1.3", "<@a.test:user@domain>: the route is passed over")
async def source_route(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<@a.test,@b.test:{at.to}>")
    return consent(answer, "it declines routes")


@rule("s-address-literal", "RFC 1123 §5.2.17", "postmaster at the server's own [address]")
async def address_literal(at: TestedServer) -> Judgement:
    if at.address is None:
        return unseen("which address the server calls its own is not known")
    literal = f"[IPv6:{at.address}]" if ":" in at.address else f"[{at.address}]"
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<postmaster@{literal}>")
    if answer.code in (500, 501):
        return broken(f"{answer}: the form is allowed (RFC 5321 §4.1.3)")
    return consent(answer, "it takes no mail for its own address")


@rule("s-malformed-path", "RFC 5321 §4.1.2", "recipients that are no addresses: 5yz")
async def malformed_path(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answers = [(path, await talk.ask(f"RCPT TO:{path}")) for path in MALFORMED]
    taken = [f"{path}: {answer}" for path, answer in answers if not answer.refused]
    return broken("; ".join(taken)) if taken else kept(str(answers[0][1]))


@rule("s-space-before-path", "RFC 5321 §3.3", "MAIL FROM: <user@domain>, with a space: 501")
async def space_before_path(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask(f"MAIL FROM: <{at.sender}>")
    return refusal(answer, 501, leave="the space is passed over")


@rule("s-bare-path", "RFC 5321 §4.1.2", "MAIL FROM:user@domain, without brackets: 501")
async def bare_path(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask(f"MAIL FROM:{at.sender}")
    return refusal(answer, 501, 553, leave="brackets are not asked for")


@rule("s-user-of-64", "RFC 5321 §4.5.3.1.1", "a local part of 64 bytes is no error of syntax")
async def user_of_64(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{'u' * 64}@{at.domain}>")
    if answer.code in (0, 500, 501):
        return broken(str(answer))
    return kept(str(answer))


@rule("s-path-too-long", "RFC 5321 §4.5.3.1.3", "a path of 2000 bytes is refused")
async def path_too_long(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{'u' * 1900}@{at.domain}>")
    if answer.end == "closed":
        return differs("it closes the connection")
    return kept(str(answer)) if answer.refused else broken(str(answer))


@rule("e1-relay", "RFC 5321 §3.6.2", "a recipient at a domain of others: 550")
async def relay(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{ELSEWHERE}>")
    if answer.good and at.trusted:
        return unseen(f"{answer}; we may be whom it relays for, as the loopback network often is")
    if 400 <= answer.code < 500:
        return differs(f"{answer}: the sender will try again")
    return refusal(answer, 550, 551, 554)


@rule("e1-percent", "RFC 5321 §3.6.2", "a route in the local part, user%elsewhere@domain: 550")
async def percent(at: TestedServer) -> Judgement:
    if at.unknown is None:
        return unseen("a domain of which the server knows the users is not known (--unknown)")
    local, _, domain = ELSEWHERE.partition("@")
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{local}%{domain}@{at.unknown.rpartition('@')[2]}>")
    if answer.good and at.trusted:
        return unseen(f"{answer}; where it would go cannot be seen")
    return refusal(answer, 550, 551, 553, 554)


@rule("e2-unknown", "RFC 5321 §3.3", "a recipient that is not there: 550 at RCPT")
async def unknown(at: TestedServer) -> Judgement:
    if at.unknown is None:
        return unseen("a recipient that is not there is not known (--unknown)")
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{at.unknown}>")
    if 400 <= answer.code < 500:
        return differs(f"{answer}: the sender will try again for days")
    return refusal(answer, 550, leave="what is taken now has to bounce later: backscatter")


@rule("e2-unknown-alone", "RFC 5321 §3.3", "one recipient refused, the others taken")
async def unknown_alone(at: TestedServer) -> Judgement:
    if at.unknown is None:
        return unseen("a recipient that is not there is not known (--unknown)")
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        first = await talk.ask(f"RCPT TO:<{at.unknown}>")
        if first.good:
            return unseen(f"the unknown one is taken: {first}")
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
        if not answer.good:
            return broken(f"after it, the known one: {answer}")
        await at.data(talk)
        await talk.say(at.letter("one-refused").content)
        answer = await talk.ask(".")
    return consent(answer)


async def _taken(at: TestedServer, *recipients: str) -> Judgement:
    """Each of them has to be taken."""
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        for recipient in recipients:
            answer = await talk.ask(f"RCPT TO:<{recipient}>")
            if not answer.good:
                return broken(f"<{recipient}>: {answer}")
    return kept()
