"""Makes messages and submits them to the client's own queue.

Guarantee: the answer comes once all are durable there. The same clock and ids make the same bytes;
content is valid RFC 5322: CRLF, lines of at most 998 bytes, ASCII header fields (RFC 2047 where the
text is not).
"""

import asyncio
import base64
import re
from collections.abc import Iterator

from msgspec import Struct

from mxlab_services.address import distinct, plainest, problem_of
from mxlab_services.clock import Clock, rfc5322_date
from mxlab_services.config import Limits
from mxlab_services.control.replies import SubmittedMessage
from mxlab_services.control.requests import Submit
from mxlab_services.errors import ControlError, SpoolError
from mxlab_services.ids import Ids
from mxlab_services.message import Envelope, Origin, Recipient, content_digest, header_block
from mxlab_services.queue.ports import Accept
from mxlab_services.smtp.commands import is_notify

INVALID = -32602
MOST = 20_000  # messages in one request: their answer fits a line of the control socket
MOST_AT_A_TIME = 1000
LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)
_FILL = 76  # bytes in a line of filling
_WORD = 45  # bytes of text in one encoded word (RFC 2047 §2: at most 75 characters encoded)
_FIELD = re.compile(r"[!-9;-~]{1,70}")


class _Made(Struct, frozen=True):
    message_id: str
    envelope: Envelope
    content: bytes


class Submission:
    """Answers `submit` for the client that is called `hostname`."""

    def __init__(
        self, hostname: str, accept: Accept, limits: Limits, clock: Clock, ids: Ids
    ) -> None:
        self._hostname = hostname
        self._accept = accept
        self._limits = limits
        self._clock = clock
        self._ids = ids

    async def __call__(self, request: Submit) -> list[SubmittedMessage]:
        """Make and store the messages. Raises ControlError: for a request that cannot be (-32602),
        or, with how many are stored, where the disk refuses."""
        self._check(request)
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers: list[SubmittedMessage | None] = [None] * request.count
        numbers = iter(range(request.count))

        async def work() -> None:
            for number in numbers:
                if request.rate > 0:
                    await asyncio.sleep(max(0.0, began + number / request.rate - loop.time()))
                answers[number] = await self._one(request)

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

    async def _one(self, request: Submit) -> SubmittedMessage:
        made = self._make(request)
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

    def _check(self, request: Submit) -> None:
        for address in (request.sender, *request.recipients):
            if not address and address is request.sender:
                continue
            if wrong := problem_of(address):
                problem = f"{address[:80]!r} is no mail address: {wrong.text}"
                raise ControlError(problem, INVALID)
        for name, value, least, most in (
            ("recipients", len(request.recipients), 1, self._limits.recipients),
            ("count", request.count, 1, MOST),
            ("concurrency", request.concurrency, 1, MOST_AT_A_TIME),
            ("size", request.size, 0, self._limits.message_size),
        ):
            if not least <= value <= most:
                raise ControlError(f"{name}: {least} to {most}, not {value}", INVALID)
        if request.notify and not is_notify(request.notify):
            problem = f"notify: NEVER, or some of SUCCESS,FAILURE,DELAY; not {request.notify!r}"
            raise ControlError(problem, INVALID)
        if not 0 <= request.rate < float("inf"):
            raise ControlError(f"rate: 0 or more messages a second, not {request.rate}", INVALID)
        for name, text in (("Subject", request.subject), *request.headers):
            if not _FIELD.fullmatch(name):
                raise ControlError(f"{name!r} is no name of a header field", INVALID)
            if not all(c.isprintable() or c == "\t" for c in text):
                raise ControlError(f"{name}: a line break or control character", INVALID)
        if not _clean_body(request.body):
            raise ControlError(f"body: a line of more than {LINE} bytes, or a NUL", INVALID)
        content = self._make(request, filled=False).content
        for name, octets in _long_lines(content):
            rule = f"at most {LINE} (RFC 5322 2.1.1), and a line is folded only at a space"
            raise ControlError(f"{name}: a line of {octets} octets; {rule}", INVALID)
        least_size = len(content)
        if least_size > self._limits.message_size:
            raise ControlError(f"the message has {least_size} bytes, too many", INVALID)

    def _make(self, request: Submit, *, filled: bool = True) -> _Made:
        token = self._ids.token() if filled else "x" * 24
        message_id = f"<{token}@{self._hostname}>"
        body = _lines(request.body)
        given = {name.lower() for name, _ in request.headers}
        head = [
            ("Date", rfc5322_date(self._clock.time())),
            ("From", plainest(request.sender) or f"MAILER-DAEMON@{self._hostname}"),
            ("To", ",\r\n ".join(map(plainest, request.recipients))),
            ("Subject", _encoded(request.subject)),
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
        head += [(name, _encoded(value)) for name, value in request.headers]
        text = "".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n"
        content = text.encode() + body
        if filled and request.size > len(content):
            content = _fill(content, request.size - len(content))
        utf8 = not all(plainest(a).isascii() for a in (request.sender, *request.recipients))
        notify = request.notify.upper()
        recipients = tuple(Recipient(one, notify) for one in distinct(request.recipients, str))
        envelope = Envelope(request.sender, recipients, eightbit or utf8, utf8)
        return _Made(_message_id(request, message_id), envelope, content)


async def _end(workers: list["asyncio.Task[None]"]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


def _message_id(request: Submit, made: str) -> str:
    """The Message-ID that counts: one given among the headers takes the place of ours."""
    given = [value.strip() for name, value in request.headers if name.lower() == "message-id"]
    return given[0] if given else made


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


def _fill(content: bytes, size: int) -> bytes:
    """`content`, which ends in CRLF, with exactly `size` bytes more."""
    whole, rest = divmod(size, _FILL + 2)
    if rest == 1:  # too little for a line of its own: lengthen another
        if not whole:
            return content[:-2] + b"x\r\n"
        return content + (b"x" * _FILL + b"\r\n") * (whole - 1) + b"x" * (_FILL + 1) + b"\r\n"
    last = b"x" * (rest - 2) + b"\r\n" if rest else b""
    return content + (b"x" * _FILL + b"\r\n") * whole + last


def _encoded(text: str) -> str:
    """A header's text, folded, in encoded words (RFC 2047) where it is not ASCII.

    By hand, since the standard library's policy loses spaces between encoded words in some of the
    versions that we support, and makes encoded words of long addresses and links.
    """
    if text.isascii():
        return _folded(text)
    words, word = [], b""
    for character in text:
        more = character.encode()
        if len(word) + len(more) > _WORD:
            words.append(word)
            word = b""
        word += more
    words.append(word)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _folded(text: str) -> str:
    """Break a long text at spaces (RFC 5322 §2.2.3); what has none stays whole."""
    lines, line = [], ""
    for word in re.split(r"(?<=\S)(?=[ \t])", text):
        if line and len(line) + len(word) > 900:
            lines.append(line)
            line = ""
        line += word
    return "\r\n".join([*lines, line])
