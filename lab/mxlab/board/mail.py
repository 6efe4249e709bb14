"""Operations on mail: sent, waiting, delivered, and each message's story."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice

from mxlab.backends.base import Node
from mxlab.backends.real.remains import source_of
from mxlab.board.board import Board
from mxlab.board.endpoint import Nothing, OperationGroup, RawReply
from mxlab.board.letter import LetterView, html_of, part_of, taken_apart
from mxlab.board.mailbag import MessageView
from mxlab.board.recorded import NotRecorded
from mxlab.board.views import (
    BiographyView,
    CountView,
    DeletedView,
    MailboxCount,
    MessageDetail,
    MessagesView,
    QueueView,
    SentView,
)
from mxlab.board.wishes import (
    DeleteWish,
    EditWish,
    FlushWish,
    IdWish,
    MessagesWish,
    NodeWish,
    PartWish,
    SendWish,
    TraceWish,
)
from mxlab.errors import LabError, NodeUnreachable, UnknownName, UsageError
from mxlab.history.biography import life, notifications
from mxlab.history.lookup import find
from mxlab.operate.nodes import mtas, sender_called
from mxlab.operate.queues import entries
from mxlab_services.address import problem_of
from mxlab_services.config import Limits
from mxlab_services.control.requests import QueueEdit, QueueFlush, Submit
from mxlab_services.submit.given import field_in, whole_message

QUEUES = OperationGroup("queues", "What waits at each host, and the operator's hands on it.")
MESSAGES = OperationGroup("messages", "What was delivered, to read and to search; mail to send.")
NULL = "<>"  # the null reverse-path (RFC 5321 §4.5.5)
# A guest may show itself: no script, no form, nothing from elsewhere, no way out of its frame.
GUEST = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


@QUEUES.operation("GET", "/queues", Nothing, list[QueueView])
async def show_queues(board: Board, asked: Nothing) -> list[QueueView]:
    """Every queue: each message with its reason and its next attempt."""
    return [await _queue(board, node) for node in mtas(board.lab, [])]


@QUEUES.operation("GET", "/queues/{node}", NodeWish, QueueView)
async def show_queue(board: Board, asked: NodeWish) -> QueueView:
    """The queue of one host, also of one that is down: as its disk was left."""
    return await _queue(board, mtas(board.lab, [asked.node])[0])


async def _queue(board: Board, node: Node) -> QueueView:
    name = node.config.node
    async with AsyncExitStack() as stack:
        try:
            source = await stack.enter_async_context(source_of(node, board.lab.clock, "spool"))
            return QueueView(name, await entries(source), stopped=source.is_down)
        except LabError as error:
            return QueueView(name, [], problem=str(error))


@QUEUES.operation("POST", "/queues/flush", FlushWish, CountView)
async def flush_queues(board: Board, asked: FlushWish) -> CountView:
    """Try what waits now: all of it, what waits for a domain, or one message."""
    if asked.site and asked.queue_id:
        raise UsageError("`site` and `queue_id` exclude each other", "give one of them")
    if asked.queue_id and not asked.node:
        raise UsageError("say in which node's queue the message is", "give `node`")
    found: dict[str, int] = {}
    for node in mtas(board.lab, [asked.node] if asked.node else []):
        try:
            request = QueueFlush(asked.site or None, asked.queue_id or None)
            found[node.config.node] = await node.request(request)
        except NodeUnreachable:
            if asked.node:
                raise
    return CountView(found)


@QUEUES.operation("POST", "/queues/{node}/edit", EditWish, CountView)
async def edit_queue(board: Board, asked: EditWish) -> CountView:
    """Hold, release, requeue, delete or expire messages in a queue."""
    node = mtas(board.lab, [asked.node])[0]
    if "ALL" in asked.queue_ids and asked.queue_ids != ["ALL"]:
        raise UsageError("give ids or ALL, not both")
    return CountView({asked.node: await node.request(QueueEdit(asked.action, asked.queue_ids))})


@MESSAGES.operation("POST", "/send", SendWish, SentView)
async def send_mail(board: Board, asked: SendWish) -> SentView:
    """Send mail from one of the lab's clients; returns as soon as the client has it."""
    lab = board.lab
    client = sender_called(lab, asked.via or None)
    sender = asked.sender or f"alice@{lab.topology.home(client.config.node)}"
    for address in (*asked.to, *([sender] if sender != NULL else [])):
        if wrong := problem_of(address):
            raise UsageError(f"{address[:80]!r} is no mail address: {wrong.text}")
    content = asked.raw.encode() if asked.raw else None
    try:
        if content is not None:
            content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            whole_message(content, Limits().message_size)
        headers = [field_in(line) for line in asked.headers]
    except ValueError as error:
        raise UsageError(str(error)) from error
    request = Submit(
        sender="" if sender == NULL else sender,
        recipients=asked.to,
        count=asked.count,
        size=asked.size,
        subject=asked.subject,
        body=asked.body,
        headers=headers,
        notify=asked.notify,
        content=content,
        batch=asked.batch,
    )
    return SentView(await client.request(request))


@MESSAGES.operation("GET", "/messages", MessagesWish, MessagesView)
async def find_messages(board: Board, asked: MessagesWish) -> MessagesView:
    """Delivered messages, the newest first: list, search, or wait for one."""
    await _until_there(board, asked)
    found = list(_found(board, asked))
    return MessagesView(len(found), found[asked.start : asked.start + asked.limit])


@MESSAGES.operation("GET", "/messages/latest", MessagesWish, MessageDetail)
async def latest_message(board: Board, asked: MessagesWish) -> MessageDetail:
    """The newest delivered message that fits, whole."""
    await _until_there(board, asked)
    one = next(islice(_found(board, asked), asked.start, None), None)
    if one is None:
        raise UnknownName("message", asked.query or "latest", ())
    return await _whole(board, one)


async def _whole(board: Board, one: MessageView) -> MessageDetail:
    try:
        content = await board.content(one)
    except NotRecorded as error:
        return MessageDetail(one, LetterView([], "", html=False, parts=[]), str(error))
    return MessageDetail(one, taken_apart(content))


def _found(board: Board, asked: MessagesWish) -> Iterator[MessageView]:
    return board.feed.mailbag.find(
        query=asked.query, mailbox=asked.mailbox, to=asked.to, sender=asked.sender,
        subject=asked.subject,
    )  # fmt: skip


async def _until_there(board: Board, asked: MessagesWish) -> None:
    board.lab  # noqa: B018 - down: nothing will ever come
    await board.feed.until(lambda: next(_found(board, asked), None) is not None, asked.wait)


@MESSAGES.operation("GET", "/mailboxes", Nothing, list[MailboxCount])
async def show_mailboxes(board: Board, asked: Nothing) -> list[MailboxCount]:
    """Every mailbox to which anything was delivered, and how many messages."""
    boxes = board.feed.mailbag.boxes.items()
    return [MailboxCount(node, address, count) for (node, address), count in sorted(boxes)]


@MESSAGES.operation("DELETE", "/messages", DeleteWish, DeletedView)
async def delete_messages(board: Board, asked: DeleteWish) -> DeletedView:
    """Take messages off this list: all, or those of a mailbox. They stay in the mailboxes, as
    evidence of what happened: `mxlab judge` counts them."""
    bag = board.feed.mailbag
    gone = [one.id for one in bag.find(mailbox=asked.mailbox)]
    for name in gone:
        bag.remove(name)
    return DeletedView(len(gone))


@MESSAGES.operation("GET", "/messages/{id}", IdWish, MessageDetail)
async def show_message(board: Board, asked: IdWish) -> MessageDetail:
    """One message: header, text, and what else is in it."""
    one = _message(board, asked.id)
    return await _whole(board, one)


@MESSAGES.operation("GET", "/messages/{id}/raw", IdWish, RawReply, media_types=("message/rfc822",))
async def raw_message(board: Board, asked: IdWish) -> RawReply:
    """One message byte for byte, as it lies in the mailbox."""
    content = await board.content(_message(board, asked.id))
    return RawReply(content, "message/rfc822", _saved_as("message.eml"))


@MESSAGES.operation("GET", "/messages/{id}/html", IdWish, RawReply, media_types=("text/html",))
async def html_message(board: Board, asked: IdWish) -> RawReply:
    """The HTML of a message, as a guest: without script, forms, or anything from elsewhere."""
    html = html_of(await board.content(_message(board, asked.id)))
    if html is None:
        raise UnknownName("HTML part", asked.id, ())
    text = html.encode("utf-8", "replace")
    return RawReply(text, "text/html; charset=utf-8", {"content-security-policy": GUEST})


@MESSAGES.operation(
    "GET",
    "/messages/{id}/parts/{number}",
    PartWish,
    RawReply,
    media_types=("application/octet-stream",),
)
async def read_part(board: Board, asked: PartWish) -> RawReply:
    """One part of a message, decoded, to be saved: never to be shown in its place."""
    found = part_of(await board.content(_message(board, asked.id)), asked.number)
    if found is None:
        raise UnknownName("part", str(asked.number), ())
    view, content = found
    return RawReply(content, "application/octet-stream", _saved_as(view.name))


@MESSAGES.operation("DELETE", "/messages/{id}", IdWish, DeletedView)
async def delete_message(board: Board, asked: IdWish) -> DeletedView:
    """Take one message off this list; it stays in the mailbox."""
    board.feed.mailbag.remove(_message(board, asked.id).id)
    return DeletedView(1)


@MESSAGES.operation("GET", "/trace", TraceWish, BiographyView)
async def trace_message(board: Board, asked: TraceWish) -> BiographyView:
    """A message's story, hop by hop: every lookup, attempt, reply and queue."""
    trace = await board.trace()
    message = find(trace, None if asked.message == "last" else asked.message)
    lines = [head + text for head, text in life(trace, message, dialog=asked.dialog)]
    return BiographyView(message, lines, notifications(trace, message))


def _message(board: Board, name: str) -> MessageView:
    found = board.feed.mailbag.get(name)
    if found is None:
        raise UnknownName("message", name, ())
    return found


def _saved_as(name: str) -> dict[str, str]:
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    return {"content-disposition": f'attachment; filename="{plain}"'}
