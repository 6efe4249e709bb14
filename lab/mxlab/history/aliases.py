"""What aliases made of recipients, by the events and the topology: who has a message in whose
place, and by how many ways it comes to one mailbox. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from mxlab.model.takes import takes
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.address import canonical, domain_of
from mxlab_services.directory import Directory
from mxlab_services.events import Event

Entry = tuple[str, str]  # a node, and a queue id there


class Aliases:
    """The aliases of a lab, and those that were expanded in a run."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._directories: dict[str, Directory] = {}
        # (message, member) -> the queue entries in which it is for aliases, and for which
        self._entries: dict[tuple[str, str], dict[Entry, set[str]]] = defaultdict(dict)
        self._accepted: dict[str, dict[Entry, set[str]]] = defaultdict(dict)  # by message
        self._direct: dict[str, frozenset[str]] = {}  # message -> its envelope at the origin

    def members(self, node: str, alias: str) -> tuple[str, ...]:
        """To whom mail for an alias goes at a node, by the topology; nobody, if it is none."""
        expansion = self._at(node).expanded(alias)
        return () if expansion is None or expansion.circle else expansion.members

    def mailbox(self, node: str, recipient: str) -> str:
        """The mailbox at a node in which mail for a recipient belongs."""
        return self._at(node).mailbox(recipient)

    def follow(self, stream: Iterable[Event], envelopes: dict[str, set[str]]) -> None:
        """Take note of what was expanded, and add to each envelope whoever came into it so."""
        if not any(domain.aliases for domain in self._topology.mail_domains):
            return
        self._direct = {message: frozenset(whole) for message, whole in envelopes.items()}
        new: list[tuple[str, str, set[str]]] = []  # message, alias, members
        for event in stream:
            message = event.message or ""
            match event.body:
                case events.Accepted(queue_id=queue_id, recipients=recipients):
                    entry = event.node, queue_id
                    self._accepted[message][entry] = set(map(canonical, recipients))
                case events.Expanded(queue_id=queue_id, recipient=recipient):
                    alias = canonical(recipient)
                    members = set(map(canonical, self.members(event.node, recipient)))
                    new.append((message, alias, members))
                    for member in members:
                        entries = self._entries[message, member]
                        entries.setdefault((event.node, queue_id), set()).add(alias)
                case _:
                    pass
        grown = True
        while grown:
            grown = False
            for message, alias, members in new:
                envelope = envelopes.get(message, set())
                if alias in envelope and not members <= envelope:
                    envelope |= members
                    grown = True

    def leading_to(self, message: str, recipient: str) -> Iterator[str]:
        """Every alias by which a message came to a recipient, each once."""
        seen = {recipient}
        left = [recipient]
        while left:
            for aliases in self._entries.get((message, left.pop()), {}).values():
                for alias in sorted(aliases - seen):
                    seen.add(alias)
                    left.append(alias)
                    yield alias

    def ways(self, message: str, recipient: str) -> int:
        """How often a message may come to a recipient by itself: once for each group of addresses
        of it that no node took in one transaction."""
        entries = self._entries.get((message, recipient))
        if not entries:
            return 1
        groups: list[set[str]] = []
        for aliases in entries.values():
            joined = set(aliases).union(*(group for group in groups if group & aliases))
            groups = [group for group in groups if not group & aliases] + [joined]
        found = sum(
            max(self.ways(message, alias) if alias != recipient else 1 for alias in g)
            for g in groups
        )
        return found + self._comes_alone(message, recipient, entries)

    def _comes_alone(self, message: str, recipient: str, entries: dict[Entry, set[str]]) -> bool:
        """Whether the sender named the recipient, too, and that was no part of what was expanded:
        a node of the alias took it without, or it is of another domain, whose nodes take it."""
        if recipient not in self._direct.get(message, ()):
            return False
        aliases = {domain_of(alias) for aliases in entries.values() for alias in aliases}
        nodes = {node for node, _ in entries}
        return domain_of(recipient) not in aliases or any(
            recipient in taken and entry not in entries
            for entry, taken in self._accepted[message].items()
            if entry[0] in nodes
        )

    def _at(self, node: str) -> Directory:
        """Who has a mailbox at a node: anybody, at those that are no exchanges."""
        if node not in self._directories:
            if node in {exchange.host for exchange in self._topology.exchanges}:
                mail = takes(self._topology, node)
                known = Directory(mail.recipients, mail.open_domains, mail.aliases)
            else:
                known = Directory(None)
            self._directories[node] = known
        return self._directories[node]
