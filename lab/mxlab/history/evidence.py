"""What lies where in the end: the clients' records, every queue, every mailbox, what could not
be asked. Collected once, judged by the ledger and the checks, and kept with a report."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Protocol, TypeVar

import msgspec

from mxlab.backends.base import HasImap, Lab
from mxlab.errors import LabError, NodeUnreachable
from mxlab.history.expunged import Expunged, expunged_in
from mxlab.model.topology import Topology
from mxlab_services.control.replies import MailboxEntry, QueueEntry, RecordEntry
from mxlab_services.control.requests import MailboxList, QueueList, RecordRead, Request

R = TypeVar("R")


class SentMessage(msgspec.Struct, frozen=True):
    """A message that a `send` step submitted through a client, and got an answer for."""

    batch: str
    message: str
    digest: str
    sender: str
    recipients: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """`record` is of the first client, `records` of each further one by its name. `missing`: node
    -> why it could not be asked for its part. `queues` and `mailboxes` have an entry for each node
    that answered, empty or not. `expunged`: what mail programs took away. `time_scale`: lab seconds
    in a real one."""

    topology: Topology
    submissions: tuple[SentMessage, ...] = ()
    record: tuple[RecordEntry, ...] = ()
    records: dict[str, tuple[RecordEntry, ...]] = {}
    queues: dict[str, tuple[QueueEntry, ...]] = {}
    mailboxes: dict[str, tuple[MailboxEntry, ...]] = {}
    missing: dict[str, str] = {}
    expunged: tuple[Expunged, ...] = ()
    time_scale: float = 1.0

    @property
    def every_record(self) -> dict[str, tuple[RecordEntry, ...]]:
        """Each client's record, by its name."""
        return {self.topology.client: self.record, **self.records}


class CanAnswer(Protocol):
    """What answers a node's requests: the node, or what it left."""

    async def request(self, request: Request[R]) -> R: ...


async def collect(
    lab: Lab, submissions: tuple[SentMessage, ...], nodes: Mapping[str, CanAnswer] | None = None
) -> Evidence:
    """Ask every node, or `nodes` in their place. Never raises for a node that does not answer: it
    is named in `missing`."""
    records: dict[str, tuple[RecordEntry, ...]] = {}
    queues: dict[str, tuple[QueueEntry, ...]] = {}
    mailboxes: dict[str, tuple[MailboxEntry, ...]] = {}
    missing: dict[str, str] = {}
    for name, node in (lab.nodes if nodes is None else nodes).items():
        if name in lab.topology.dns_hosts:
            continue
        try:
            queues[name] = tuple([entry async for entry in queue_of(node)])
            mailboxes[name] = tuple(await node.request(MailboxList()))
            if name in lab.topology.sender_domains:
                records[name] = tuple(await node.request(RecordRead()))
        except LabError as error:
            missing[name] = str(error)
    expunged: list[Expunged] = []
    for name, primary in lab.topology.imap_servers.items():
        try:
            expunged += expunged_in([line async for line in _log_of(lab, name)], primary)
        except LabError as error:
            missing[name] = str(error)
    return Evidence(
        topology=lab.topology,
        submissions=submissions,
        record=records.pop(lab.topology.client, ()),
        records=records,
        queues=queues,
        mailboxes=mailboxes,
        missing=missing,
        expunged=tuple(expunged),
        time_scale=1.0 / lab.clock.real(1.0),
    )


async def _log_of(lab: Lab, server: str) -> AsyncIterator[str]:
    """An IMAP server's whole log, a line each. Raises NodeUnreachable where it is gone."""
    servers = lab.imap if isinstance(lab, HasImap) else {}
    if server not in servers:
        raise NodeUnreachable(f"{server} has been removed")
    async with aclosing(servers[server].logs(follow=False)) as lines:  # type: ignore[type-var]
        async for line in lines:
            yield line


PAGE = 1000


async def queue_of(node: CanAnswer) -> AsyncIterator[QueueEntry]:
    """A node's whole queue, asked for page by page."""
    after = ""
    while page := await node.request(QueueList(after, PAGE)):
        for entry in page:
            yield entry
        if len(page) < PAGE:
            return
        after = page[-1].queue_id
