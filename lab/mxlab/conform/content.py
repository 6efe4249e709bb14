"""Rules of what comes after DATA, as whoever sends to the server sees it: line ends, dots, headers.

Long: a table of rules, a few lines each.
"""

import re

from mxlab.conform.rule import Book, ConformRule, Judgement, broken, differs, kept, unseen
from mxlab.conform.server import NO_SIGHT, Letter, TestedServer, consent
from mxlab.conform.talk import ReplySeen, Talk

CONTENT: Book[TestedServer] = Book("takes")
rule = CONTENT.rule
FALSE_ENDS = {
    "b6-lf-dot-lf": b"\n.\n",
    "b6-lf-dot-crlf": b"\n.\r\n",
    "b6-crlf-dot-lf": b"\r\n.\n",
    "b6-cr-dot-cr": b"\r.\r",
    "b6-cr-dot-crlf": b"\r.\r\n",
    "b6-crlf-dot-cr": b"\r\n.\r",
}
FEW_HOPS, MANY_HOPS = 25, 120  # Received fields: no loop by any rule, and one by all
_WITH = re.compile(rb"\bwith\s+([A-Z0-9]+)", re.IGNORECASE)


def _declare_false_ends() -> None:
    for name, mark in FALSE_ENDS.items():
        shown = mark.decode().replace("\r", "CR ").replace("\n", "LF ").replace(".", '"." ').strip()

        async def check(at: TestedServer, mark: bytes = mark) -> Judgement:
            return await _false_end(at, mark)

        CONTENT.add(
            ConformRule(
                name,
                "RFC 5321 §2.3.8, §4.1.1.4",
                f"{shown} within the data is no end of it",
                "takes",
                check,
            )
        )


async def _false_end(at: TestedServer, mark: bytes) -> Judgement:
    """Commands follow the false end; how many replies come in all tells whether they were obeyed.

    One is for the message, one for NOOP, one for QUIT. What follows the false end is made so that
    it could do no harm: no MAIL is in it.
    """
    letter = at.letter("smuggled")
    async with at.talk() as talk:
        await at.begin(talk)
        await at.data(talk)
        await talk.say(letter.content + b"before" + mark + b"RSET\r\nRSET\r\nRSET\r\n.\r\n")
        await talk.say(b"NOOP\r\nQUIT\r\n")
        answers = await talk.rest()
    if len(answers) > 3:
        return broken("what follows is obeyed as commands: mail can be smuggled in")
    if not answers:
        return _nothing(talk.said[-1])
    if answers[0].good:
        return kept(f"it is content: {answers[0]}")
    return kept(f"it is refused: {answers[0]}")


def _nothing(last: ReplySeen) -> Judgement:
    return kept("the connection is closed") if last.end == "closed" else broken(str(last))


_declare_false_ends()


@rule("b6-bare-lf", "RFC 5321 §2.3.8", "a bare LF in the text is refused")
async def bare_lf(at: TestedServer) -> Judgement:
    return await _bare(at, b"one\ntwo\r\n")


@rule("b6-bare-cr", "RFC 5321 §2.3.8", "a bare CR in the text is refused")
async def bare_cr(at: TestedServer) -> Judgement:
    return await _bare(at, b"one\rtwo\r\n")


async def _bare(at: TestedServer, line: bytes) -> Judgement:
    letter = at.letter("bare", line)
    async with at.talk() as talk:
        answer = await at.send(talk, letter.content, at.seen_to)
    if answer.refused or answer.end == "closed":
        return kept(str(answer))
    if not answer.good:
        return broken(str(answer))
    came = None if at.sight is None else await at.sight.arrived(letter.token)
    if came is None:
        return differs(f"it is taken: {answer}")
    if came.endswith(line):
        return broken("it is taken, and passed on as it came")
    how = "as CR LF" if came.endswith(b"one\r\ntwo\r\n") else "changed"
    return differs(f"it is taken, and passed on {how}")


@rule("b7-dots", "RFC 5321 §4.5.2", "the first dot of each line that begins with one is taken away")
async def dots(at: TestedServer) -> Judgement:
    stuffed, plain = b"..\r\n...\r\n..text\r\n.x\r\n", b".\r\n..\r\n.text\r\nx\r\n"
    return await _unchanged(at, at.letter("dots", stuffed), plain)


@rule("b7-line-of-998", "RFC 5321 §4.5.3.1.6", "a line of 998 bytes and CR LF, unchanged")
async def line_of_998(at: TestedServer) -> Judgement:
    body = b"x" * 998 + b"\r\n"
    return await _unchanged(at, at.letter("998", body), body)


@rule("b7-line-too-long", "RFC 5321 §4.5.3.1.6", "a line of 5000 bytes: refused, or unchanged")
async def line_too_long(at: TestedServer) -> Judgement:
    body = b"x" * 5000 + b"\r\n"
    letter = at.letter("5000", body)
    async with at.talk() as talk:
        answer = await at.send(talk, letter.content, at.seen_to)
    if answer.refused:
        return kept(str(answer))
    if not answer.good:
        return broken(str(answer))
    came = None if at.sight is None else await at.sight.arrived(letter.token)
    if came is None:
        return differs(f"it is taken: {answer}")
    if came.endswith(body):
        return differs("it is taken, and passed on as it is")
    return differs("it is taken, and cut into several lines")


@rule("b7-message-of-64k", "RFC 5321 §4.5.3.1.7", "a message of 64 kB is taken, and whole")
async def message_of_64k(at: TestedServer) -> Judgement:
    body = b"0123456789abcdef" * 4 + b"\r\n"
    body *= 64 * 1024 // len(body)
    return await _unchanged(at, at.letter("64k", body), body)


@rule("b2-one-reply", "RFC 5321 §4.2.5", "three recipients, one reply to the final dot")
async def one_reply(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await at.begin(talk, at.to, at.to, at.to)
        await at.data(talk)
        await talk.say(at.letter("three").content)
        taken = await talk.ask(".")
        answers = [taken, await talk.ask("QUIT"), *await talk.rest()]
    if [answer.code for answer in answers] == [250, 221]:
        return kept()
    return broken("; ".join(map(str, answers)) or str(talk.said[-1]))


@rule("s-empty-message", "RFC 5321 §4.1.1.4", "a message without a byte")
async def empty_message(at: TestedServer) -> Judgement:
    return await _or_differs(at, b"", "it wants something in a message")


@rule("s-no-headers", "RFC 5321 §6.4", "a message without header fields")
async def no_headers(at: TestedServer) -> Judgement:
    return await _or_differs(at, b"just text\r\n", "it wants header fields")


@rule("s-double-headers", "RFC 5321 §6.4", "a message with two Subject and two From fields")
async def double_headers(at: TestedServer) -> Judgement:
    head = b"Subject: first\r\nFrom: <other@client.test>\r\n"
    letter = at.letter("double", head=head)
    async with at.talk() as talk:
        answer = await at.send(talk, letter.content, at.seen_to)
    if not answer.good:
        return consent(answer, "it looks into the content")
    came = None if at.sight is None else await at.sight.arrived(letter.token)
    if came is not None and head not in came:
        return broken("one of them is gone, or its place is another")
    return kept(str(answer))


@rule("e3-received", "RFC 5321 §4.4", "one Received field more, the first: from, by, with ESMTP")
async def received(at: TestedServer) -> Judgement:
    return await _traced(at, "EHLO", b"ESMTP")


@rule("e3-received-smtp", "RFC 3848", "the same after HELO: with SMTP")
async def received_smtp(at: TestedServer) -> Judgement:
    return await _traced(at, "HELO", b"SMTP")


async def _traced(at: TestedServer, verb: str, word: bytes) -> Judgement:
    if at.sight is None:
        return unseen(NO_SIGHT)
    letter = at.letter("traced")
    async with at.talk(ehlo=False) as talk:
        await talk.must(f"{verb} conform.client.test")
        await _taken(at, talk, letter)
    came = await at.sight.arrived(letter.token)
    if came is None:
        return broken("the message does not come")
    fields = [f for f in _fields(came) if f.lower().startswith(b"received:")]
    if not fields or not came.lower().startswith(b"received:"):
        return broken("it begins with no Received field")
    if len(fields) > 1:
        return differs(f"{len(fields)} Received fields for one hop")
    field = b" ".join(fields[0].split())
    missing = [w for w in (b"from", b"by", b"with", b"id", b";") if w not in field.lower()]
    if missing:
        return differs(f"without {b', '.join(missing).decode()}")
    found = _WITH.search(field)
    said = found[1].upper() if found else b""
    if said != word:
        return broken(f"with {said.decode() or 'nothing'}, not {word.decode()}")
    return kept("with " + said.decode() + (", for the recipient" if b" for <" in field else ""))


@rule("e3-unchanged", "RFC 5321 §3.6.3, §6.4", "header fields and text pass as they are")
async def unchanged(at: TestedServer) -> Judgement:
    if at.sight is None:
        return unseen(NO_SIGHT)
    head = (
        b"X-Odd:   two  spaces\r\n\tand a tab\r\nx-ODD: again\r\nReceived: from a by b; never\r\n"
    )
    letter = at.letter("odd", b"  text \r\n\r\n\r\nend\t\r\n", head)
    async with at.talk() as talk:
        await _taken(at, talk, letter)
    came = await at.sight.arrived(letter.token)
    if came is None:
        return broken("the message does not come")
    if came.endswith(letter.content):
        return kept()
    text = letter.content.partition(b"\r\n\r\n")[2]
    if not came.endswith(text):
        return broken("the text is another")
    return differs("header fields were changed or others put among them")


@rule("s-return-path", "RFC 5321 §4.4", "final delivery puts Return-Path first")
async def return_path(at: TestedServer) -> Judgement:
    if at.mailbox is None:
        return unseen("the mailbox cannot be seen from here")
    letter = at.letter("filed")
    async with at.talk() as talk:
        answer = await at.send(talk, letter.content)
    came = await at.mailbox.arrived(letter.token) if answer.good else None
    if came is None:
        return broken(f"{answer}; and nothing is in the mailbox")
    paths = [f for f in _fields(came) if f.lower().startswith(b"return-path:")]
    if len(paths) != 1 or at.sender.encode() not in paths[0]:
        return broken(f"{len(paths)} Return-Path fields, and one with the sender is due")
    first = came.lower().startswith(b"return-path:")
    return kept() if first else differs("it is not the first field")


@rule("c-hops", "RFC 5321 §6.3", f"{FEW_HOPS} Received fields are no loop yet, {MANY_HOPS} are one")
async def hops(at: TestedServer) -> Judgement:
    line = b"Received: from a.test by b.test with SMTP; Fri, 27 Nov 2026 12:00:00 +0000\r\n"
    few, many = (at.letter("hops", head=line * n) for n in (FEW_HOPS, MANY_HOPS))
    async with at.talk() as talk:
        answer = await at.send(talk, few.content, at.seen_to)
        if not answer.good:
            return broken(f"{FEW_HOPS} Received fields: {answer}")
        answer = await at.send(talk, many.content, at.seen_to)
    if answer.refused:
        return kept(f"{MANY_HOPS}: {answer}")
    if not answer.good:
        return broken(f"{MANY_HOPS}: {answer}")
    if at.sight is None:
        return unseen(f"{MANY_HOPS} are taken; whether they bounce cannot be seen from here")
    if await at.sight.arrived(few.token) is None:
        return broken(f"with {FEW_HOPS} it does not come")
    if await at.sight.arrived(many.token) is not None:
        return broken(f"with {MANY_HOPS} it is passed on: a loop would have no end")
    return differs(f"{MANY_HOPS} are taken, and not passed on")


async def _taken(at: TestedServer, talk: Talk, letter: Letter) -> None:
    await at.begin(talk, at.seen_to)
    await at.data(talk)
    await talk.say(letter.content)
    await talk.must(".")


async def _unchanged(at: TestedServer, letter: Letter, body: bytes) -> Judgement:
    """Sent and taken; where it can be seen, it comes with that text."""
    async with at.talk() as talk:
        answer = await at.send(talk, letter.content, at.seen_to)
    if not answer.good:
        return broken(str(answer))
    if at.sight is None:
        return unseen(f"it is taken ({answer}); {NO_SIGHT}")
    came = await at.sight.arrived(letter.token)
    if came is None:
        return broken("it is taken, and does not come")
    return kept() if came.endswith(b"\r\n\r\n" + body) else broken("the text that comes is another")


async def _or_differs(at: TestedServer, content: bytes, why: str) -> Judgement:
    async with at.talk() as talk:
        answer = await at.send(talk, content)
    return consent(answer, why)


def _fields(content: bytes) -> list[bytes]:
    """The header fields, folded ones whole."""
    head = content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    return head.split(b"\r\n")
