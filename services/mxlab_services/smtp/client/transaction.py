"""One mail transaction (RFC 5321 §3.3) on an open connection, and what became of each recipient.

The stage table of MAIL-RULES B as far as one host is concerned; which host comes next is the
relay's business. "No reply read" counts as 451 before the final dot and as unknown after it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct, field

from mxlab_services.address import plainest
from mxlab_services.config import Timeouts
from mxlab_services.message import Envelope, Recipient, header_block
from mxlab_services.queue.ports import Job
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.connection import ClientSession

Stage = Literal["ehlo", "mail", "rcpt", "data", "dot", "done"]

_PATIENCE = {  # what a reply is to, and the field of the timeouts
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "the message data": "block",
    "the final dot": "dot",
}
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
_UNSENDABLE_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # "a b"@example.test is a path


class RecipientOutcome(Struct, frozen=True):
    """What a host made of one recipient.

    again: too many recipients; this one goes into another transaction with the same host.
    """

    outcome: Literal["delivered", "deferred", "failed", "unknown", "again"]
    reply: Reply


class Transaction(Struct):
    """One transaction's course. `fates` has every recipient once it is over.

    `stale`: the kept connection turned out to be closed before MAIL was answered; nothing happened.
    `clean`: the connection is ready for another transaction.
    """

    session: ClientSession
    job: Job
    recipients: Sequence[Recipient]
    times: Timeouts
    stage: Stage = "ehlo"
    fates: dict[str, RecipientOutcome] = field(default_factory=dict)
    reply: Reply = field(default=Reply(0, "", ""))
    stale: bool = False
    clean: bool = False

    async def run(self, begin: Callable[[], None]) -> None:
        """Do it. `begin` is called right before MAIL is sent, if it is."""
        refusal = self._refusal()
        if refusal is not None:
            self._rest("failed", refusal)
            self.clean = True
            return
        begin()
        self.stage = "mail"
        commands = [self._mail(), *map(self._rcpt, self.recipients), "DATA"]
        pipelined = "pipelining" in self.session.extensions
        reused = self.session.used > 0
        self.session.used += 1
        self.session.send(commands if pipelined else commands[:1])
        mail = await self._reply("MAIL")
        if reused and (mail.code == 421 or (mail.code == 0 and self.session.lost)):
            self.stale = True
            return
        accepted: list[str] = []
        if mail.code // 100 == 2:
            accepted = await self._recipients(None if pipelined else commands[1:-1])
        else:
            self._rest("failed" if mail.code // 100 == 5 else "deferred", mail)
        if accepted:
            await self._data(pipelined)
        elif pipelined and not self._gone:
            await self._unwanted(0 if mail.code // 100 == 2 else len(self.recipients))

    @property
    def _gone(self) -> bool:
        """The peer has left, or said that it does (421): no more replies are awaited."""
        return self.reply.code in (0, 421)

    # --- the commands ----------------------------------------------------------------------------

    def _refusal(self) -> Reply | None:
        """Why this message cannot be sent to this host at all."""
        envelope, known = self.job.envelope, self.session.extensions
        if not _sendable(envelope, self.recipients):
            return Reply(553, "5.1.3", "an address holds characters that cannot be sent")
        size = len(self.job.content)
        limit = known.get("size", "").strip()
        if limit.isdecimal() and len(limit) <= 20 and 0 < int(limit) < size:  # RFC 1870 §4
            where = self.session.peer
            return Reply(552, "5.3.4", f"message size {size} exceeds the limit {limit} of {where}")
        if "smtputf8" not in known and _needs_utf8(self.job, self.recipients, plainest):
            return Reply(
                553, "5.6.7", f"SMTPUTF8 is required, but was not offered by {self.session.peer}"
            )
        if envelope.eightbit and "8bitmime" not in known and not self.job.content.isascii():
            return Reply(
                554, "5.6.3", f"8BITMIME is required, but was not offered by {self.session.peer}"
            )
        return None

    def _mail(self) -> str:
        envelope, known = self.job.envelope, self.session.extensions
        words = [f"MAIL FROM:<{self._path(envelope.sender)}>"]
        if "size" in known:
            words.append(f"SIZE={len(self.job.content)}")
        if envelope.eightbit and "8bitmime" in known:
            words.append("BODY=8BITMIME")
        if "smtputf8" in known and (envelope.smtputf8 or _needs_utf8(self.job, self.recipients)):
            words.append("SMTPUTF8")
        if "dsn" in known:
            words += [f"RET={envelope.ret}"] if envelope.ret else []
            words += [f"ENVID={envelope.envid}"] if envelope.envid else []
        return " ".join(words)

    def _rcpt(self, recipient: Recipient) -> str:
        words = [f"RCPT TO:<{self._path(recipient.address)}>"]
        if "dsn" in self.session.extensions:
            words += [f"NOTIFY={recipient.notify}"] if recipient.notify else []
            words += [f"ORCPT={recipient.orcpt}"] if recipient.orcpt else []
        return " ".join(words)

    def _path(self, address: str) -> str:
        """The address as it was given; where the peer has no SMTPUTF8 its domain in A-labels, which
        are the same domain (RFC 5890 §2.3.2.1)."""
        return address if "smtputf8" in self.session.extensions else plainest(address)

    # --- the replies -----------------------------------------------------------------------------

    async def _recipients(self, commands: Sequence[str] | None) -> list[str]:
        """The accepted recipients; the others have their fates. None: RCPT was sent already."""
        self.stage = "rcpt"
        accepted: list[str] = []
        for number, recipient in enumerate(self.recipients):
            if commands is not None:
                self.session.send([commands[number]])
            reply = await self._reply("RCPT")
            if self._gone:
                self._rest("deferred", reply)
                return []
            if reply.code // 100 == 2:
                accepted.append(recipient.address)
            else:
                self.fates[recipient.address] = _refused(reply, some_accepted=bool(accepted))
        return accepted

    async def _unwanted(self, rcpts: int) -> None:
        """Read the replies to `rcpts` RCPT and to DATA, which were sent along in vain.

        If DATA was taken all the same, a lone dot ends it (RFC 2920 §3.1); unless the peer took a
        recipient too, who would then get an empty message.
        """
        replies = [await self._reply("RCPT", note=False) for _ in range(rcpts)]
        if (await self._reply("DATA", note=False)).code // 100 != 3:
            return
        if any(reply.code // 100 == 2 for reply in replies):
            self.session.abort()
        else:
            self.session.send(["."])
            await self._reply("the final dot", note=False)

    async def _data(self, pipelined: bool) -> None:
        self.stage = "data"
        if not pipelined:
            self.session.send(["DATA"])
        reply = await self._reply("DATA")
        if reply.code // 100 == 3:
            if await self.session.send_content(self.job.content, self.times.block):
                self.stage = "dot"
                await self._dot()
                return
            reply = await self._reply("the message data")  # a refusal may have come before the dot
        self._rest("failed" if reply.code // 100 == 5 else "deferred", reply)

    async def _dot(self) -> None:
        reply = await self._reply("the final dot")
        match reply.code // 100:
            case 2:
                self.stage = "done"
                self.clean = True
                self._rest("delivered", reply)
            case 4:
                self._rest("deferred", reply)
            case 5:
                self._rest("failed", reply)
            case _:  # lost, silent, or no SMTP reply: nobody knows whether the peer has it
                self._rest("unknown", reply)

    async def _reply(self, to: str, note: bool = True) -> Reply:
        reply = await self.session.reply(getattr(self.times, _PATIENCE[to]), to)
        if note:
            self.reply = reply
        return reply

    def _rest(
        self, outcome: Literal["delivered", "deferred", "failed", "unknown"], reply: Reply
    ) -> None:
        """The transaction ends so for all that have no fate yet.

        Those that wait for another transaction get it only after a success: a refusal of the
        message holds for them too, and otherwise they go to the next host.
        """
        self.reply = reply
        for recipient in self.recipients:
            known = self.fates.get(recipient.address)
            if known is None or (known.outcome == "again" and outcome == "failed"):
                self.fates[recipient.address] = RecipientOutcome(outcome, reply)
            elif known.outcome == "again" and outcome != "delivered":
                self.fates[recipient.address] = RecipientOutcome("deferred", known.reply)


def _refused(reply: Reply, some_accepted: bool) -> RecipientOutcome:
    """The fate that a reply to RCPT means for its recipient alone."""
    if some_accepted and _too_many(reply):
        return RecipientOutcome("again", reply)
    return RecipientOutcome("failed" if reply.code // 100 == 5 else "deferred", reply)


def _too_many(reply: Reply) -> bool:
    """452, or 552 from older servers (RFC 5321 §4.5.3.1.10), unless it means something else."""
    return (reply.code == 452 and reply.enhanced in ("", "4.5.3")) or (
        reply.code == 552 and reply.enhanced in ("", "5.5.3")
    )


def _needs_utf8(
    job: Job, recipients: Iterable[Recipient], form: Callable[[str], str] = str
) -> bool:
    """RFC 6531 §3.4: an address in the form in which it is sent, or a header that may use it, is
    not ASCII."""
    addresses = [job.envelope.sender, *(recipient.address for recipient in recipients)]
    if not all(form(address).isascii() for address in addresses):
        return True
    return job.envelope.smtputf8 and not header_block(job.content).isascii()


def _sendable(envelope: Envelope, recipients: Iterable[Recipient]) -> bool:
    """Nothing in the envelope could end a command line or not be encoded."""
    paths = [envelope.sender, *(recipient.address for recipient in recipients)]
    words = [envelope.ret, envelope.envid]
    for recipient in recipients:
        words += [recipient.notify, recipient.orcpt]
    return not any(map(_UNSENDABLE_PATH.search, paths)) and not any(map(_UNSENDABLE.search, words))
