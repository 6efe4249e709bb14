"""Rules of a session, as whoever sends to the server sees it: greeting, commands, their order.

Long: a table of rules, a few lines each.
"""

import asyncio

from mxlab.conform.rule import Book, Judgement, broken, differs, kept, unseen
from mxlab.conform.server import HELLO, NO_SIGHT, TestedServer, consent, refusal
from mxlab.conform.talk import connected

SESSION: Book[TestedServer] = Book("takes")
rule = SESSION.rule


@rule("s-greeting", "RFC 5321 §4.3.1", "greeting: 220 and the server's name")
async def greeting(at: TestedServer) -> Judgement:
    async with connected(at.host, at.port, at.seconds) as talk:
        answer = await talk.read()
    if answer.code != 220:
        return broken(str(answer))
    name = answer.lines[0].partition(" ")[0]
    named = "." in name or name.startswith("[") or name == "localhost"
    return kept(str(answer)) if named else broken(f"{answer}: no domain comes first")


@rule("s-ehlo", "RFC 5321 §4.1.1.1", "EHLO: 250 and the server's name, then what it offers")
async def ehlo(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        answer = await talk.ask(f"EHLO {HELLO}")
    if answer.code != 250:
        return broken(str(answer))
    return kept(", ".join(line.partition(" ")[0] for line in answer.lines[1:]) or "offers nothing")


@rule("s-helo", "RFC 5321 §4.1.1.1", "HELO in the place of EHLO: 250, one line")
async def helo(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        answer = await talk.ask(f"HELO {HELLO}")
        if answer.code != 250:
            return broken(str(answer))
        if len(answer.lines) > 1:
            return broken("HELO is answered with several lines, as if it were EHLO")
        await at.begin(talk)
    return kept(str(answer))


@rule("s-ehlo-literal", "RFC 5321 §4.1.3", "EHLO with an address in brackets")
async def ehlo_literal(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        return consent(await talk.ask("EHLO [127.0.0.1]"))


@rule("s-ehlo-unverified", "RFC 5321 §4.1.4", "EHLO with a name that is not in DNS: no refusal")
async def ehlo_unverified(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        answer = await talk.ask("EHLO nobody.nowhere.invalid")
        if not answer.good:
            return broken(str(answer))
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return kept() if answer.good else broken(f"after it, RCPT: {answer}")


@rule("s-ehlo-empty", "RFC 5321 §4.1.1.1", "EHLO without a name: 501")
async def ehlo_empty(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        return refusal(await talk.ask("EHLO"), 501, leave="the name is not asked for")


@rule("s-ehlo-resets", "RFC 5321 §4.1.4", "EHLO within a transaction ends it")
async def ehlo_resets(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await at.begin(talk)
        again = await talk.ask(f"EHLO {HELLO}")
        if not again.good:
            return differs(f"{again}: it takes EHLO once")
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return broken("RCPT goes on with what was before") if answer.good else kept(str(answer))


@rule("s-mail-before-ehlo", "RFC 5321 §4.1.4", "MAIL before EHLO or HELO")
async def mail_first(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        answer = await talk.ask(f"MAIL FROM:<{at.sender}>")
    return refusal(answer, 503, leave="it takes mail from who did not say EHLO")


@rule("s-rcpt-first", "RFC 5321 §4.1.4", "RCPT before MAIL: 503")
async def rcpt_first(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        return refusal(await talk.ask(f"RCPT TO:<{at.to}>"), 503)


@rule("s-data-first", "RFC 5321 §3.3", "DATA before any recipient: 503 or 554")
async def data_first(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        answer = await talk.ask("DATA")
        if answer.code != 354:
            return refusal(answer, 503, 554)
        answer = await talk.ask(".")
    if answer.good:
        return broken(f"a message for nobody is taken: {answer}")
    return differs(f"354, and {answer} to the final dot")


@rule("s-mail-twice", "RFC 5321 §4.1.4", "MAIL within a transaction: 503")
async def mail_twice(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await at.begin(talk)
        return refusal(await talk.ask(f"MAIL FROM:<{at.sender}>"), 503)


@rule("s-two-transactions", "RFC 5321 §3.3", "a second transaction in the same session")
async def two_transactions(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        first = await at.send(talk, at.letter("first").content)
        if not first.good:
            return unseen(f"the first message: {first}")
        second = await at.send(talk, at.letter("second").content)
    return consent(second)


@rule("s-unknown-command", "RFC 5321 §4.2.4", "a command that there is not: 500")
async def unknown_command(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask("XYZZY plugh")
        if answer.code and not (after := await talk.ask("NOOP")).good:
            return broken(f"{answer}, and NOOP after it: {after}")
    return refusal(answer, 500)


@rule("s-verbs-any-case", "RFC 5321 §2.4", "commands in mixed case")
async def verbs_any_case(at: TestedServer) -> Judgement:
    async with at.talk(ehlo=False) as talk:
        lines = (f"eHlO {HELLO}", f"mAiL fRoM:<{at.sender}>", f"rCpT tO:<{at.to}>", "rSeT", "nOoP")
        for line in lines:
            answer = await talk.ask(line)
            if not answer.good:
                return broken(f"{line.split()[0]}: {answer}")
    return kept()


@rule("s-rset", "RFC 5321 §4.1.1.5", "RSET ends the transaction and keeps the session")
async def rset(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await at.begin(talk)
        answer = await talk.ask("RSET")
        if answer.code != 250:
            return broken(str(answer))
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
        if answer.good:
            return broken("RCPT after it goes on with the sender of before")
        await at.begin(talk)
    return kept()


@rule("s-noop", "RFC 5321 §4.1.1.9", "NOOP, with and without a word, within a transaction")
async def noop(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        for line in ("NOOP", "NOOP whatever"):
            answer = await talk.ask(line)
            if answer.code != 250:
                return (
                    broken(f"{line}: {answer}") if line == "NOOP" else differs(f"{line}: {answer}")
                )
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return kept() if answer.good else broken(f"the transaction is lost: {answer}")


@rule("s-vrfy", "RFC 5321 §3.5.3, §7.3", "VRFY: 250, 252 or 55z")
async def vrfy(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask(f"VRFY {at.to}")
    if answer.code in (250, 251, 252, 550, 551, 553):
        return kept(str(answer))
    if answer.code == 502:
        return differs(f"{answer}: where it is switched off, 252 is the reply")
    return broken(f"{answer}: every server has VRFY (§4.5.1)")


@rule("s-help", "RFC 5321 §4.1.1.8", "HELP: 211 or 214")
async def help_(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask("HELP")
    if answer.code in (211, 214):
        return kept(str(answer))
    return differs(str(answer)) if answer.code else broken(str(answer))


@rule("s-quit", "RFC 5321 §4.1.1.10", "QUIT: 221, and then the server closes")
async def quit_(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        answer = await talk.ask("QUIT")
        if answer.code != 221:
            return broken(str(answer))
        after = await talk.read()
    if after.end == "closed":
        return kept()
    return broken("the connection stays open" if not after.code else f"and then {after}")


@rule("s-no-arguments", "RFC 5321 §4.1.1", "RSET with an argument: 501")
async def no_arguments(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        return refusal(await talk.ask("RSET please"), 501, leave="the argument is passed over")


@rule("s-trailing-space", "RFC 5321 §4.1.1", "a space at the end of a command is no offence")
async def trailing_space(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        return consent(await talk.ask("RSET "), "the standard says that it SHOULD be tolerated")


@rule("s-line-ends", "RFC 5321 §2.3.8", "a command that ends with a bare LF is none yet")
async def line_ends(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.say(b"NOOP\n")
        await talk.say(b"QUIT\r\n")
        answers = await talk.rest()
    codes = [answer.code for answer in answers]
    if codes[:2] == [250, 221]:
        return differs("LF alone ends a command, too")
    if not codes:
        return kept("the connection is closed") if talk.said[-1].end == "closed" else _silence()
    return kept(f"it is refused: {answers[0]}") if codes[0] >= 400 else _odd(codes)


def _silence() -> Judgement:
    return broken("CR LF after it brings no reply either")


def _odd(codes: list[int]) -> Judgement:
    return differs(f"the replies are {', '.join(map(str, codes))}")


@rule("s-long-command", "RFC 5321 §4.5.3.1.4", "a command of 100 kB is refused, and no harm done")
async def long_command(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.say(b"NOOP " + b"x" * 100_000 + b"\r\n")
        answer = await talk.read()
    async with at.talk():  # raises where the server is gone
        pass
    if answer.code >= 400 or answer.end == "closed":
        return kept(str(answer))
    if answer.good:
        return differs(f"{answer}: it has no bound on a line")
    return broken(str(answer))


@rule("s-line-of-512", "RFC 5321 §4.5.3.1.4", "a command of 512 bytes is taken")
async def line_of_512(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        short = await talk.ask("NOOP x")
        if not short.good:
            return unseen(f"a word after NOOP is refused at any length: {short}")
        answer = await talk.ask("NOOP " + "x" * (512 - len("NOOP \r\n")))
    return (
        consent(answer, "a string of that length is refused, not the line")
        if (answer.code == 501)
        else consent(answer)
    )


@rule("s-pieces", "RFC 5321 §4.1.1", "a command that comes byte by byte is one command")
async def pieces(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        for byte in f"MAIL FROM:<{at.sender}>\r\n".encode():
            await talk.say(bytes([byte]))
            await asyncio.sleep(0)
        answer = await talk.read()
        if not answer.good:
            return broken(str(answer))
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return consent(answer)


@rule("s-replies", "RFC 5321 §4.2", "every reply: CR LF, ASCII, one code on all its lines")
async def replies(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        for line in (f"MAIL FROM:<{at.sender}>", f"RCPT TO:<{at.to}>", "HELP", "XYZZY", "RSET"):
            await talk.ask(line)
        await talk.ask("QUIT")
    faults = dict.fromkeys(fault for answer in talk.said for fault in answer.faults)
    garbled = [str(answer) for answer in talk.said if answer.end == "garbled"]
    wrong = [*faults, *garbled]
    return broken("; ".join(wrong)) if wrong else kept()


@rule("s-unknown-parameter", "RFC 5321 §4.1.1.11", "a parameter of MAIL that there is not: 555")
async def unknown_parameter(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        return refusal(await talk.ask(f"MAIL FROM:<{at.sender}> XYZZY=plugh"), 555)


@rule("s-cut-in-data", "RFC 5321 §4.1.1.4", "the connection ends within the data: no message")
async def cut_in_data(at: TestedServer) -> Judgement:
    if at.sight is None:
        return unseen(NO_SIGHT)
    cut, whole = at.letter("cut"), at.letter("whole")
    async with at.talk() as talk:
        await at.begin(talk, at.seen_to)
        await at.data(talk)
        await talk.say(cut.content)
    async with at.talk() as talk:
        answer = await at.send(talk, whole.content, at.seen_to)
    if not answer.good or await at.sight.arrived(whole.token) is None:
        return unseen("another message, sent after it, did not arrive either")
    return broken("the piece came as a message") if at.sight.there(cut.token) else kept()


@rule("b3-idle", "RFC 5321 §4.5.3.2.7", "a client that says nothing: 421 after 5 minutes or more")
async def idle(at: TestedServer) -> Judgement:
    wait = at.seconds if at.idle is None else at.idle + at.seconds
    async with at.talk() as talk:
        answer = await talk.read(wait)
    if answer.code == 421:
        text = f"{answer}, within {wait:g} s"
        return kept(text) if at.idle is not None else broken(text)
    if answer.end == "closed":
        text = f"it closed without 421, within {wait:g} s"
        return differs(text) if at.idle is not None else broken(text)
    if answer.code:
        return broken(f"within {wait:g} s: {answer}")
    return unseen(f"it waits for {wait:g} s at least; five minutes are not waited for")
