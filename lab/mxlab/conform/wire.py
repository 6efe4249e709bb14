"""Rules of what a server that sends puts on the wire: greetings, bytes, and what was offered."""

from mxlab.conform.outward import HOME, RETRY, arrival, failures, given, script, status_of
from mxlab.conform.place import GOOD, Surroundings
from mxlab.conform.record import Handover
from mxlab.conform.rule import Book, Judgement, broken, differs, kept, unseen
from mxlab_services.control.peers import PeerReply, PeerRule

WIRE: Book[Surroundings] = Book("sends")
rule = WIRE.rule
LEAVES = 15.0  # real seconds in which a connection that is done with is closed
_MUTTER = "250-2.1.5 one\n250-2.1.5 two\n250 2.1.5 three"
_OLD = (("old", script("EHLO", "500 5.5.1 what is that?", stays=True)),)
_LINES = (b"0123456789" * 7 + b"\r\n") * 50
_SLOW = PeerRule("MAIL", [PeerReply("250 ok", wait=0.5)], "FROM:<b7-waits@")


@rule("s-out-ehlo", "RFC 5321 §4.1.1.1", "EHLO with a whole name, or an address in brackets")
async def ehlo(at: Surroundings) -> Judgement:
    came = await _plain(at, "s-out-ehlo")
    if came is None:
        return unseen("no mail comes")
    line = came.conversation.lines[0]
    verb, _, name = line.partition(" ")
    if verb.upper() not in ("EHLO", "HELO"):
        return broken(f"it begins with {line[:40]}")
    whole = "." in name.strip(".") or name.startswith("[")
    return kept(line[:60]) if whole else broken(line[:60])


@rule("s-out-quit", "RFC 5321 §4.1.1.10", "QUIT before it closes a connection", alone=True)
async def quit_(at: Surroundings) -> Judgement:
    """Of all that it opened so far, and one more: what is kept open may end otherwise."""
    came = await _plain(at, "s-out-quit")
    if came is None:
        return unseen("no mail comes")
    await at.log.until(lambda: came.conversation.closed, LEAVES)
    ended = [one for one in at.log.conversations if one.closed and not one.cut and one.lines]
    if not ended:
        return unseen("it keeps the connection")
    rude = [one for one in ended if one.lines[-1].upper() != "QUIT"]
    if not rude:
        return kept()
    return broken(f"{len(rude)} of {len(ended)} end otherwise, as after {rude[0].lines[-1][:40]}")


@rule("e3-envelope", "RFC 5321 §3.6.3", "the reverse-path stays as it was")
async def envelope(at: Surroundings) -> Judgement:
    came = await _plain(at, "e3-envelope")
    if came is None:
        return broken("no mail comes")
    same = f"<e3-envelope@{HOME}>" in came.mail
    return kept() if same else differs(f"it becomes {came.mail[:60]}")


@rule("b7-out-dots", "RFC 5321 §4.5.2", "dots at the beginning of a line are stuffed")
async def dots(at: Surroundings) -> Judgement:
    body = b"..\r\n...\r\n..text\r\n.\tx\r\n"  # as we send it, stuffed
    message = await given(at, "b7-out-dots", body=body.replace(b".\t", b"..\t"))
    came = await arrival(at, message.token)
    if came is None:
        return broken("the message does not come, or it ends early")
    whole = (came.content or b"").endswith(body.replace(b".\t", b"..\t"))
    return kept() if whole else broken("the text that comes is another")


@rule("b6-out-line-ends", "RFC 5321 §2.3.8", "CR LF at the end of every line, and nowhere else")
async def line_ends(at: Surroundings) -> Judgement:
    came = await _plain(at, "b6-out-line-ends")
    if came is None:
        return unseen("no mail comes")
    left = (came.content or b"").replace(b"\r\n", b"")
    return broken("a bare CR or LF") if b"\r" in left or b"\n" in left else kept()


@rule("b7-size-told", "RFC 1870 §5", "where SIZE is offered, MAIL tells the size")
async def size_told(at: Surroundings) -> Judgement:
    came = await _plain(at, "b7-size-told")
    if came is None:
        return unseen("no mail comes")
    return kept() if " SIZE=" in came.mail.upper() else differs("it does not tell it")


@rule(
    "b-multiline", "RFC 5321 §4.2.1", "replies of several lines, in pieces of 3 bytes",
    script=(
        (GOOD, PeerRule("RCPT", [PeerReply(_MUTTER, pieces=3)], "FROM:<b-multiline@")),
        (GOOD, PeerRule("DOT", [PeerReply(_MUTTER, pieces=3)], "FROM:<b-multiline@")),
    ),
)  # fmt: skip
async def multiline(at: Surroundings) -> Judgement:
    came = await _plain(at, "b-multiline")
    if came is None:
        return broken("the mail does not come")
    await at.log.until(lambda: len(at.log.with_word("FROM:<b-multiline@")) > 1, 3.0)
    copies = len(at.log.with_word("FROM:<b-multiline@"))
    return kept() if copies == 1 else broken(f"it sends it {copies} times")


@rule(
    "b7-helo", "RFC 5321 §3.2", "EHLO is not understood (500): HELO, and the mail comes",
    script=_OLD,
)  # fmt: skip
async def helo(at: Surroundings) -> Judgement:
    message = await given(at, "b7-helo", "old.test")
    came = await arrival(at, message.token)
    if came is None:
        return broken("the mail does not come")
    return kept(", ".join(line.split()[0] for line in came.conversation.lines[:2]))


@rule("b7-no-parameters", "RFC 5321 §2.2.1", "nothing is offered: no parameters with MAIL and RCPT")
async def no_parameters(at: Surroundings) -> Judgement:
    message = await given(at, "b7-no-parameters", "old.test")
    came = await arrival(at, message.token)
    if came is None:
        return unseen("the mail does not come")
    bare = all(line.endswith(">") for line in (came.mail, *came.rcpts))
    return kept() if bare else broken(came.mail[:80])


@rule(
    "b7-waits", "RFC 2920 §3.1", "no PIPELINING: it waits for each reply",
    script=(("old", _SLOW),),
)  # fmt: skip
async def waits(at: Surroundings) -> Judgement:
    message = await given(at, "b7-waits", "old.test")
    came = await arrival(at, message.token)
    if came is None:
        return unseen("the mail does not come")
    return broken("RCPT comes before the reply to MAIL") if came.conversation.early else kept()


@rule("b7-8bit-to-7bit", "RFC 6152 §3", "8-bit text, and no 8BITMIME: converted, or bounced")
async def eightbit(at: Surroundings) -> Judgement:
    async with at.server.talk() as talk:
        if "8BITMIME" not in talk.offers:
            return unseen("it takes no 8-bit text")
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    head += b"Content-Transfer-Encoding: 8bit\r\n"
    message = await given(
        at, "b7-8bit", "old.test", head=head, body="käse\r\n".encode(), mail=" BODY=8BITMIME"
    )
    await at.log.until(lambda: at.log.taken(message.token) or failures(at, message.sender), RETRY)
    if taken := at.log.taken(message.token):
        if taken[0].plain.isascii():
            return kept("it is converted")
        return broken("8-bit text is sent to a server that did not offer to take it")
    told = failures(at, message.sender)
    return kept(f"it bounces, {status_of(told[0])}") if told else unseen("neither, for now")


@rule("b7-utf8-to-ascii", "RFC 6531 §3.2", "SMTPUTF8 mail, and no SMTPUTF8 there: bounced")
async def utf8(at: Surroundings) -> Judgement:
    async with at.server.talk() as talk:
        if "SMTPUTF8" not in talk.offers:
            return differs("SMTPUTF8 is not offered")
    message = await given(
        at, "b7-utf8", "small.test", users=("ä",), mail=" SMTPUTF8", body="ä\r\n".encode()
    )
    await at.log.until(lambda: at.log.taken(message.token) or failures(at, message.sender), RETRY)
    if came := at.log.taken(message.token, at="small"):
        if all(line.isascii() for line in came[0].rcpts):
            return differs("it makes ASCII of the address, and sends it")
        return broken("it is sent all the same")
    told = failures(at, message.sender)
    return (
        kept(f"it bounces, {status_of(told[0])}")
        if told
        else differs("it goes elsewhere, or waits")
    )


@rule("b7-too-large", "RFC 1870 §5", "larger than the peer's SIZE: bounced, and not sent")
async def too_large(at: Surroundings) -> Judgement:
    message = await given(at, "b7-too-large", "small.test", body=_LINES)
    await at.log.until(lambda: at.log.taken(message.token) or failures(at, message.sender), RETRY)
    if at.log.taken(message.token, at="small"):
        return differs("it sends it all the same")
    if told := failures(at, message.sender):
        return kept(f"it bounces, {status_of(told[0])}")
    if at.log.taken(message.token):
        return differs("it sends it to the next exchange, which takes more")
    return broken("neither is it sent, nor does it bounce")


@rule("b7-starttls-refused", "RFC 3207 §4, RFC 7435", "STARTTLS is offered, and 454: in the clear")
async def starttls(at: Surroundings) -> Judgement:
    message = await given(at, "b7-starttls-refused", "tls.test")
    came = await arrival(at, message.token)
    if came is None:
        return differs(f"the mail does not come within {RETRY:.0f} s")
    tried = [o for o in at.log.conversations if o.peer == "tls" and "STARTTLS" in o.lines]
    return kept("after STARTTLS" if tried else "it asks for no TLS")


async def _plain(at: Surroundings, name: str) -> Handover | None:
    """A message that nothing befalls, and how it came."""
    message = await given(at, name)
    return await arrival(at, message.token)
