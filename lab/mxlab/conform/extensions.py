"""Rules of what EHLO offers, and of bounds, as whoever sends to the server sees it.

Long: a table of rules, a few lines each.
"""

from mxlab.conform.rule import Book, Judgement, Obstacle, broken, differs, kept, unseen
from mxlab.conform.server import HELLO, TestedServer, consent, refusal
from mxlab.conform.talk import ReplySeen, Talk

EXTENSIONS: Book[TestedServer] = Book("takes")
rule = EXTENSIONS.rule
LARGEST = 12 * 1024 * 1024  # bytes of a message that a rule makes at the most
MOST_RECIPIENTS = 2100
CHUNK = 64 * 1024


def _absent(word: str) -> Judgement:
    return differs(f"{word} is not offered")


@rule("b5-hundred", "RFC 5321 §4.5.3.1.8", "a message for 100 recipients is taken")
async def hundred(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        taken = await _recipients(at, talk, 100)
        if taken is not None:
            return broken(f"number {taken[0]}: {taken[1]}")
        await at.data(talk)
        await talk.say(at.letter("hundred").content)
        answer = await talk.ask(".")
    return consent(answer)


@rule("b5-too-many", "RFC 5321 §4.5.3.1.10", "one recipient too many: 452", seconds=60.0)
async def too_many(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        await talk.must(f"MAIL FROM:<{at.sender}>")
        refused = await _recipients(at, talk, MOST_RECIPIENTS)
    if refused is None:
        return unseen(f"{MOST_RECIPIENTS} are taken; no bound is in sight")
    number, answer = refused
    if answer.code == 452:
        return kept(f"number {number}: {answer}")
    if answer.code == 552:
        return differs(f"number {number}: {answer}; the older code")
    return broken(f"number {number}: {answer}")


async def _recipients(at: TestedServer, talk: Talk, count: int) -> tuple[int, ReplySeen] | None:
    """RCPT so many times, by the fifty where that is offered; the first that is not taken."""
    step = 50 if "PIPELINING" in talk.offers else 1
    for first in range(0, count, step):
        number = min(step, count - first)
        await talk.say(f"RCPT TO:<{at.to}>\r\n".encode() * number)
        answers = [await talk.read() for _ in range(number)]
        for place, answer in enumerate(answers, first + 1):
            if not answer.good:
                return place, answer
    return None


@rule("b7-size", "RFC 1870 §6.1", "SIZE=, one byte more than is offered: 552 to MAIL")
async def size(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "SIZE" not in talk.offers:
            return _absent("SIZE")
        limit = talk.offers["SIZE"]
        if not limit.isdecimal() or not int(limit):
            return unseen("SIZE is offered without a bound")
        answer = await talk.ask(f"MAIL FROM:<{at.sender}> SIZE={int(limit) + 1}")
        if answer.good:
            answer = await talk.ask(f"RCPT TO:<{at.to}>")
    return refusal(answer, 552, leave="it waits for the data")


@rule("b7-size-fits", "RFC 1870 §6.1", "SIZE= of what is offered is taken")
async def size_fits(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if not talk.offers.get("SIZE", "").isdecimal() or not int(talk.offers["SIZE"]):
            return unseen("no bound is offered")
        answer = await talk.ask(f"MAIL FROM:<{at.sender}> SIZE={talk.offers['SIZE']}")
    if answer.code == 452:
        return differs(f"{answer}: there is no room now")
    return consent(answer)


@rule("b7-size-malformed", "RFC 1870 §6.1", "SIZE=abc: 501")
async def size_malformed(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "SIZE" not in talk.offers:
            return _absent("SIZE")
        answer = await talk.ask(f"MAIL FROM:<{at.sender}> SIZE=abc")
    return refusal(answer, 501, leave="the value is passed over")


@rule("b7-size-of-data", "RFC 1870 §6.3", "more data than SIZE offers: 552", seconds=60.0)
async def size_of_data(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        limit = talk.offers.get("SIZE", "")
        if not limit.isdecimal() or not 0 < int(limit) < LARGEST:
            return unseen(f"no bound below {LARGEST // 1024 // 1024} MiB is offered")
        await at.begin(talk)
        await at.data(talk)
        await talk.say(at.letter("large").content)
        line = b"x" * 76 + b"\r\n"
        for _ in range(int(limit) // CHUNK + 2):
            await talk.say(line * (CHUNK // len(line) + 1))
        answer = await talk.ask(".")
    if answer.end == "closed":
        return differs("it closes the connection")
    return refusal(answer, 552)


@rule("b7-8bitmime", "RFC 6152", "BODY=8BITMIME, and 8-bit text unchanged")
async def eightbit(at: TestedServer) -> Judgement:
    body = "käse\r\n".encode()
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    head += b"Content-Transfer-Encoding: 8bit\r\n"
    letter = at.letter("8bit", body, head)
    async with at.talk() as talk:
        if "8BITMIME" not in talk.offers:
            return _absent("8BITMIME")
        answer = await at.send(talk, letter.content, at.seen_to, mail=" BODY=8BITMIME")
    if not answer.good:
        return broken(str(answer))
    if at.sight is None:
        return kept(str(answer))
    came = await at.sight.arrived(letter.token)
    if came is None:
        return broken("it is taken, and does not come")
    return kept() if came.endswith(body) else broken("the text that comes is another")


@rule("b7-body-unknown", "RFC 6152 §3", "BODY=9BIT: 501 or 555")
async def body_unknown(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "8BITMIME" not in talk.offers:
            return _absent("8BITMIME")
        return refusal(await talk.ask(f"MAIL FROM:<{at.sender}> BODY=9BIT"), 501, 504, 555)


@rule("b7-smtputf8", "RFC 6531 §3.4", "a sender in UTF-8 with SMTPUTF8; without it, 550 or 553")
async def smtputf8(at: TestedServer) -> Judgement:
    sender = "käse@client.test"
    async with at.talk() as talk:
        offered = "SMTPUTF8" in talk.offers
        if offered:
            answer = await talk.ask(f"MAIL FROM:<{sender}> SMTPUTF8")
            if not answer.good:
                return broken(f"with SMTPUTF8: {answer}")
            await talk.must("RSET")
        answer = await talk.ask(f"MAIL FROM:<{sender}>")
        if answer.good:
            answer = await talk.ask(f"RCPT TO:<{at.to}>")
    if not offered:
        return differs(f"SMTPUTF8 is not offered; and without it: {answer}")
    if answer.good:
        return differs("UTF-8 is taken without SMTPUTF8, too")
    return kept(str(answer)) if answer.refused else broken(str(answer))


@rule("b7-enhanced", "RFC 2034", "with ENHANCEDSTATUSCODES: a code of the same class in replies")
async def enhanced(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "ENHANCEDSTATUSCODES" not in talk.offers:
            return _absent("ENHANCEDSTATUSCODES")
        lines = [f"MAIL FROM:<{at.sender}>", f"RCPT TO:<{at.to}>", "RCPT TO:<@>", "RSET", "DATA"]
        for line in lines:
            answer = await talk.ask(line)
            if not answer.code:
                return broken(f"{line}: {answer}")
            if answer.enhanced[:1] != str(answer.code)[0]:
                return broken(f"{line}: {answer}")
    return kept()


@rule("b7-pipelining", "RFC 2920", "a whole transaction at once: replies in order")
async def pipelining(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "PIPELINING" not in talk.offers:
            return _absent("PIPELINING")
        commands = f"MAIL FROM:<{at.sender}>\r\nRCPT TO:<{at.to}>\r\nRCPT TO:<@>\r\nDATA\r\n"
        await talk.say(commands.encode())
        codes = [(await talk.read()).code for _ in range(4)]
        if [code // 100 for code in codes] != [2, 2, 5, 3]:
            return broken(f"MAIL, RCPT, a bad RCPT, DATA: {_shown(codes)}")
        await talk.say(at.letter("pipelined").content + b".\r\nRSET\r\nQUIT\r\n")
        codes = [answer.code for answer in await talk.rest()]
    if codes == [250, 250, 221]:
        return kept()
    return broken(f"the final dot, RSET, QUIT: {_shown(codes)}")


@rule("b7-pipelined-for-nobody", "RFC 2920 §3.1", "all recipients refused, DATA sent along")
async def pipelined_for_nobody(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "PIPELINING" not in talk.offers:
            return _absent("PIPELINING")
        await talk.say(f"MAIL FROM:<{at.sender}>\r\nRCPT TO:<@>\r\nDATA\r\n".encode())
        answers = [await talk.read() for _ in range(3)]
        last = answers[-1]
        if last.code == 354:
            last = await talk.ask(".")
        after = await talk.ask("NOOP")
    if last.good:
        return broken(f"a message for nobody is taken: {last}")
    return kept(str(last)) if last.code and after.good else broken(f"{last}; NOOP: {after}")


@rule("b7-dsn", "RFC 3461 §4", "NOTIFY=NEVER is taken, NOTIFY=NEVER,FAILURE: 501")
async def dsn(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "DSN" not in talk.offers:
            return _absent("DSN")
        await talk.must(f"MAIL FROM:<{at.sender}> RET=HDRS ENVID=conform")
        answer = await talk.ask(f"RCPT TO:<{at.to}> NOTIFY=NEVER")
        if not answer.good:
            return broken(f"NOTIFY=NEVER: {answer}")
        answer = await talk.ask(f"RCPT TO:<{at.to}> NOTIFY=NEVER,FAILURE")
    return refusal(answer, 501, leave="NEVER beside others is taken")


@rule("b7-chunking", "RFC 3030 §2", "BDAT, where CHUNKING is offered; else 50z")
async def chunking(at: TestedServer) -> Judgement:
    letter = at.letter("chunk")
    async with at.talk() as talk:
        offered = "CHUNKING" in talk.offers
        await at.begin(talk)
        if not offered:
            answer = await talk.ask("BDAT 0 LAST")
            return differs("CHUNKING is not offered") if answer.refused else broken(str(answer))
        await talk.say(f"BDAT {len(letter.content)} LAST\r\n".encode() + letter.content)
        answer = await talk.read()
    return consent(answer)


@rule("b7-starttls", "RFC 3207 §4", "STARTTLS: the handshake, and EHLO anew")
async def starttls(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "STARTTLS" not in talk.offers:
            return _absent("STARTTLS")
        answer = await talk.ask("STARTTLS")
        if answer.code != 220:
            return broken(str(answer))
        try:
            await talk.start_tls()
        except Obstacle as obstacle:
            return broken(f"after {answer}, {obstacle}")
        answer = await talk.ask(f"RCPT TO:<{at.to}>")
        if answer.good:
            return broken("what was said before is not forgotten")
        await talk.ehlo(HELLO)
        if "STARTTLS" in talk.offers:
            return broken("it is offered again")
        await at.begin(talk)
    return kept()


@rule("b7-starttls-injection", "RFC 3207 §6", "a command sent along with STARTTLS is thrown away")
async def starttls_injection(at: TestedServer) -> Judgement:
    async with at.talk() as talk:
        if "STARTTLS" not in talk.offers:
            return _absent("STARTTLS")
        await talk.say(b"STARTTLS\r\nRSET\r\n")
        answer = await talk.read()
        if answer.code != 220:
            return kept(f"it is refused: {answer}")
        try:
            await talk.start_tls()
        except Obstacle:
            return await _without_injection(at)
        answer = await talk.ask("XYZZY")
    if answer.good:
        return broken("it is obeyed within TLS: a man in the middle can put words in")
    return kept(str(answer))


async def _without_injection(at: TestedServer) -> Judgement:
    """Whether the handshake fails because of what was sent along."""
    async with at.talk() as talk:
        await talk.must("STARTTLS")
        try:
            await talk.start_tls()
        except Obstacle:
            return unseen("no handshake comes to an end, with or without that")
    return kept("there is no handshake then")


def _shown(codes: list[int]) -> str:
    return " ".join(map(str, codes)) or "no reply"
