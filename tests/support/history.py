"""A small run, written by hand: the story of one message to bob through both exchanges, to be
doctored by tests that show how each check fails."""

from dataclasses import dataclass, field

from mxlab.history.evidence import Evidence, SentMessage
from mxlab.history.expunged import Expunged
from mxlab.history.trace import Trace
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.control.replies import MailboxEntry, QueueEntry, QueueRecipient, RecordEntry
from mxlab_services.events import Body, Event

MESSAGE, BOB, ALICE, DIGEST = "<m@client.test>", "bob@example.test", "alice@client.test", "d1"
MX = ["10 mx1.example.test", "20 mx2.example.test"]


@dataclass
class History:
    """Events by node and evidence, both still to be changed."""

    stream: list[tuple[str, str | None, Body]] = field(default_factory=list)
    submissions: list[SentMessage] = field(default_factory=list)
    record: list[RecordEntry] = field(default_factory=list)
    queues: dict[str, list[QueueEntry]] = field(
        default_factory=lambda: {"mx1": [], "mx2": [], "client": []}
    )
    mailboxes: dict[str, list[MailboxEntry]] = field(
        default_factory=lambda: {"mx1": [], "mx2": [], "client": []}
    )
    missing: dict[str, str] = field(default_factory=dict)
    topology: Topology = field(default_factory=Topology)
    expunged: list[Expunged] = field(default_factory=list)

    def event(self, node: str, body: Body, message: str | None = MESSAGE) -> None:
        self.stream.append((node, message, body))

    def trace(self) -> Trace:
        """The events with their numbers; node.ready begins a new life of its node."""
        trace, seq = Trace(), dict[str, int]()
        for count, (node, message, body) in enumerate(self.stream):
            number = 0 if isinstance(body, events.NodeReady) else seq.get(node, -1) + 1
            seq[node] = number
            trace.add(Event(10.0 * count, number, node, message, body))
        return trace

    def evidence(self) -> Evidence:
        return Evidence(
            topology=self.topology,
            submissions=tuple(self.submissions),
            record=tuple(self.record),
            queues={node: tuple(entries) for node, entries in self.queues.items()},
            mailboxes={node: tuple(entries) for node, entries in self.mailboxes.items()},
            missing=self.missing,
            expunged=tuple(self.expunged),
        )


def accepted(queue_id: str, peer: str = "", *, digest: str = DIGEST, to: str = BOB) -> Body:
    return events.Accepted(queue_id, ALICE, [to], 100, digest, peer)


def tried(queue_id: str, host: str, preference: int, stage: str = "done") -> Body:
    name = f"{host}.example.test"
    return events.Tried(queue_id, name, "10.0.0.1", preference, stage, "250 Ok", 0.1, [])


def routed(*hosts: str) -> Body:
    targets = [f"{host}.example.test" for host in hosts]
    return events.Routed("example.test", targets, [], "by preference", "RFC 5321 §5.1")


def mailbox(message: str = MESSAGE, address: str = BOB, digest: str = DIGEST) -> MailboxEntry:
    return MailboxEntry(address, "name", message, digest, 100, ALICE, "subject", 9.0)


def queued(message: str = MESSAGE, address: str = BOB) -> QueueEntry:
    to = [QueueRecipient(address, "connection refused")]
    return QueueEntry("deferred", "Q9", 1, 100, ALICE, to, message, DIGEST, 1)


def submitted() -> History:
    """Submitted at the client, and nothing after."""
    history = History()
    for node, role in (("client", "client"), ("mx1", "mx"), ("mx2", "mx")):
        history.event(node, events.NodeReady(role, []), None)  # type: ignore[arg-type]
    history.submissions.append(SentMessage("batch", MESSAGE, DIGEST, ALICE, (BOB,)))
    history.event("client", accepted("C1"))
    return history


def through_both() -> History:
    """The whole story: client, then mx2 while mx1 is down, then mx1 and the mailbox."""
    history = submitted()
    event = history.event
    event("client", events.AttemptStarted("C1", "example.test", [BOB], 1))
    event("client", events.Lookup("example.test", "MX", "ok", MX, False))
    event("client", routed("mx1", "mx2"))
    event("client", tried("C1", "mx1", 10, "connect"))
    event("mx2", accepted("B1", "10.0.0.9"))
    event("client", tried("C1", "mx2", 20))
    event("client", events.Outcome("C1", BOB, "delivered", "250 Ok", "mx2.example.test"))
    event("client", events.Removed("C1"))
    event("mx2", events.AttemptStarted("B1", "example.test", [BOB], 1))
    event("mx2", events.Lookup("example.test", "MX", "ok", MX, False))
    event("mx2", routed("mx1"))
    event("mx2", events.Deferred("B1", [BOB], 1, 152.0, "timed out"))
    event("mx2", events.AttemptStarted("B1", "example.test", [BOB], 2))
    event("mx1", accepted("A1", "10.0.0.8"))
    event("mx2", tried("B1", "mx1", 10))
    event("mx2", events.Outcome("B1", BOB, "delivered", "250 Ok", "mx1.example.test"))
    event("mx2", events.Removed("B1"))
    event("mx1", events.AttemptStarted("A1", "example.test", [BOB], 1))
    event("mx1", events.MailboxDelivered("A1", BOB, "name", DIGEST))
    event("mx1", events.Removed("A1"))
    history.record.append(RecordEntry(MESSAGE, BOB, "mx2.example.test", "acked", "250 Ok", 6.0))
    history.mailboxes["mx1"].append(mailbox())
    return history
