"""Makes messages and submits them to the client's own queue, itself or by SMTP (`by_smtp`).

Guarantee: the answer comes once all are durable there, or were refused. The same clock and ids make
the same bytes; content is valid RFC 5322: CRLF, lines of at most 998 bytes, ASCII header fields
(RFC 2047 where the text is not).
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from mxlab_services.address import distinct, plainest, problem_of
from mxlab_services.clock import Clock, rfc5322_date
from mxlab_services.control.replies import SubmittedMessage
from mxlab_services.control.requests import HandIn, Submit
from mxlab_services.errors import ControlError, SpoolError
from mxlab_services.ids import Ids
from mxlab_services.message import Envelope, Origin, Recipient, content_digest, header_block
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Accept, Job
from mxlab_services.smtp.commands import is_notify
from mxlab_services.submit.given import LINE, WholeMessage, field_problem, whole_message
from mxlab_services.submit.writing import encoded, filled_up

INVALID = -32602
MOST = 20_000  # messages in one request: their answer fits a line of the control socket
MOST_AT_A_TIME = 1000


class HandsIn(Protocol):
    """What hands messages in by SMTP."""

    async def __call__(self, job: Job, how: HandIn, batch: str) -> SubmittedMessage: ...


class _Made(Struct, frozen=True):
    message_id: str
    envelope: Envelope
    content: bytes


class Submission:
    """Answers `submit` for the client, within the limits that it has at that time. `by_smtp`: where
    it has a submission server."""

    def __init__(
        self,
        live: LiveConfig,
        accept: Accept,
        clock: Clock,
        ids: Ids,
        by_smtp: HandsIn | None = None,
    ) -> None:
        self._live = live
        self._by_smtp = by_smtp
        self._hostname = live.config.hostname
        self._accept = accept
        self._clock = clock
        self._ids = ids

    async def __call__(self, request: Submit) -> list[SubmittedMessage]:
        """Make and store the messages. Raises ControlError: for a request that cannot be (-32602),
        or, with how many are stored, where the disk refuses."""
        whole = self._check(request)
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers: list[SubmittedMessage | None] = [None] * request.count
        numbers = iter(range(request.count))

        async def work() -> None:
            for number in numbers:
                if request.rate > 0:
                    await asyncio.sleep(max(0.0, began + number / request.rate - loop.time()))
                answers[number] = await self._one(request, whole)

        workers = [
            asyncio.create_task(work()) for _ in range(min(request.concurrency, request.count))
        ]
        try:
            await asyncio.gather(*workers)
        except SpoolError as error:
            await _end(workers)
            stored = sum(answer is not None for answer in answers)
            raise ControlError(f"stored {stored} of {request.count}, then: {error}") from error
        except BaseException:
            await _end(workers)
            raise
        return [answer for answer in answers if answer is not None]

    async def _one(self, request: Submit, whole: WholeMessage | None) -> SubmittedMessage:
        made = self._make(request, whole)
        if request.by is not None and self._by_smtp is not None:
            job = Job("", made.message_id, made.envelope, made.content)
            return await self._by_smtp(job, request.by, request.batch)
        queue_id = await self._accept(
            made.envelope, made.content, Origin("", self._hostname, batch=request.batch)
        )
        return SubmittedMessage(
            message=made.message_id,
            queue_id=queue_id,
            digest=content_digest(made.content),
            sender=request.sender,
            recipients=[pending.address for pending in made.envelope.recipients],
        )

    def _check(self, request: Submit) -> WholeMessage | None:
        """The message that the request brings, if it does. Raises ControlError."""
        limits = self._live.config.limits
        if request.by is not None and self._by_smtp is None:
            raise ControlError("no program can hand in mail here: nobody may submit", INVALID)
        for address in (request.sender, *request.recipients):
            if not address and address is request.sender:
                continue
            if wrong := problem_of(address):
                problem = f"{address[:80]!r} is no mail address: {wrong.text}"
                raise ControlError(problem, INVALID)
        for name, value, least, most in (
            ("recipients", len(request.recipients), 1, limits.recipients),
            ("count", request.count, 1, MOST),
            ("concurrency", request.concurrency, 1, MOST_AT_A_TIME),
            ("size", request.size, 0, limits.message_size),
        ):
            if not least <= value <= most:
                raise ControlError(f"{name}: {least} to {most}, not {value}", INVALID)
        if request.notify and not is_notify(request.notify):
            problem = f"notify: NEVER, or some of SUCCESS,FAILURE,DELAY; not {request.notify!r}"
            raise ControlError(problem, INVALID)
        if not 0 <= request.rate < float("inf"):
            raise ControlError(f"rate: 0 or more messages a second, not {request.rate}", INVALID)
        if request.ret.upper() not in ("", "FULL", "HDRS"):
            raise ControlError(f"ret: FULL or HDRS, not {request.ret!r}", INVALID)
        for name, text in (("Subject", request.subject), *request.headers):
            if unfit := field_problem(name, text):
                raise ControlError(unfit, INVALID)
        whole = self._whole(request)
        if not _clean_body(request.body):
            raise ControlError(f"body: a line of more than {LINE} bytes, or a NUL", INVALID)
        content = self._make(request, whole, filled=False).content
        for name, octets in _long_lines(content):
            rule = f"at most {LINE} (RFC 5322 2.1.1), and a line is folded only at a space"
            raise ControlError(f"{name}: a line of {octets} octets; {rule}", INVALID)
        least_size = len(content)
        if least_size > limits.message_size:
            raise ControlError(f"the message has {least_size} bytes, too many", INVALID)
        return whole

    def _whole(self, request: Submit) -> WholeMessage | None:
        if request.content is None:
            return None
        if request.size or request.body:
            raise ControlError("a whole message has its own body and size", INVALID)
        try:
            whole = whole_message(request.content, self._live.config.limits.message_size)
        except ValueError as error:
            raise ControlError(f"the message: {error}", INVALID) from error
        own = bool(whole.message_id) or bool(_given_id(request))
        if whole.message_id and _given_id(request):
            raise ControlError("the message has a Message-ID already", INVALID)
        if own and request.count > 1:
            text = f"with its own Message-ID it is one message, not {request.count}"
            raise ControlError(text, INVALID)
        return whole

    def _make(self, request: Submit, whole: WholeMessage | None, *, filled: bool = True) -> _Made:
        message_id, content, eightbit = (
            self._composed(request, filled=filled)
            if whole is None
            else self._completed(request, whole, filled=filled)
        )
        utf8 = whole is not None and whole.utf8
        utf8 |= not all(plainest(a).isascii() for a in (request.sender, *request.recipients))
        notify = request.notify.upper()
        recipients = tuple(Recipient(one, notify) for one in distinct(request.recipients, str))
        envelope = Envelope(
            request.sender, recipients, eightbit or utf8, utf8, ret=request.ret.upper()
        )
        return _Made(message_id, envelope, content)

    def _completed(
        self, request: Submit, whole: WholeMessage, *, filled: bool
    ) -> tuple[str, bytes, bool]:
        """The message that somebody brought, its added fields on top. Message-ID, content, and
        whether it needs 8BITMIME."""
        fields, message_id = list(request.headers), whole.message_id or _given_id(request)
        if not message_id:
            token = self._ids.token() if filled else "x" * 24
            message_id = f"<{token}@{self._hostname}>"
            fields.insert(0, ("Message-ID", message_id))
        top = "".join(f"{name}: {encoded(value)}\r\n" for name, value in fields)
        return message_id, top.encode() + whole.content, whole.eightbit

    def _composed(self, request: Submit, *, filled: bool) -> tuple[str, bytes, bool]:
        """A message made of the request's parts, as `_completed` returns one."""
        token = self._ids.token() if filled else "x" * 24
        message_id = f"<{token}@{self._hostname}>"
        body = _lines(request.body)
        given = {name.lower() for name, _ in request.headers}
        head = [
            ("Date", rfc5322_date(self._clock.time())),
            ("From", plainest(request.sender) or f"MAILER-DAEMON@{self._hostname}"),
            ("To", ",\r\n ".join(map(plainest, request.recipients))),
            ("Subject", encoded(request.subject)),
            ("Message-ID", message_id),
        ]
        eightbit = not body.isascii()
        if eightbit:
            head += [
                ("MIME-Version", "1.0"),
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Transfer-Encoding", "8bit"),
            ]
        head = [(name, value) for name, value in head if name.lower() not in given]
        head += [(name, encoded(value)) for name, value in request.headers]
        text = "".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n"
        content = text.encode() + body
        if filled and request.size > len(content):
            content = filled_up(content, request.size - len(content))
        return _given_id(request) or message_id, content, eightbit


async def _end(workers: list["asyncio.Task[None]"]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


def _given_id(request: Submit) -> str:
    """The Message-ID among the headers that were given; it takes the place of ours."""
    given = [value.strip() for name, value in request.headers if name.lower() == "message-id"]
    return given[0] if given else ""


def _lines(body: str) -> bytes:
    """The body with CRLF at the end of each line."""
    text = body.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    return text.replace("\n", "\r\n").encode()


def _clean_body(body: str) -> bool:
    try:
        lines = _lines(body).split(b"\r\n")
    except UnicodeEncodeError:
        return False
    return all(len(line) <= LINE and b"\0" not in line for line in lines)


def _long_lines(content: bytes) -> Iterator[tuple[str, int]]:
    """The header's lines that are too long: the field's name, and the octets."""
    name = ""
    for line in header_block(content).split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].decode("ascii")
        if len(line) > LINE:
            yield name, len(line)
