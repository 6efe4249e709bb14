"""Which recipients an MTA accepts from whom (RFC 5321 §3.6.2): it is never an open relay. Pure."""

import ipaddress

from mxlab_services.config import MtaConfig
from mxlab_services.mta.commands import plain_local_part
from mxlab_services.mta.types import Reply, domain_of

UNKNOWN_USER = "5.1.1"
RELAY_DENIED = "5.7.1"


class Policy:
    """The rules of one MTA: its own domains, those it is a backup for, and its own clients."""

    def __init__(self, config: MtaConfig) -> None:
        self._local = {domain.lower() for domain in config.local_domains}
        self._own = self._local | {domain.lower() for domain in config.relay_domains}
        self._known = (
            None if config.recipients is None else {known.lower() for known in config.recipients}
        )
        self._networks = [ipaddress.ip_network(net) for net in config.submission_networks]
        self._first = next(iter((*config.local_domains, *config.relay_domains)), config.hostname)

    def complete(self, recipient: str) -> str:
        """The address as it is meant: a bare `postmaster` is ours (RFC 5321 §4.5.1), and needless
        quotes around a local part of ours are dropped (§4.1.2), as is the root's dot."""
        local_part, at, domain = recipient.rpartition("@")
        if not at:
            return f"{recipient}@{self._first}"
        if domain_of(recipient) in self._local:
            local_part = plain_local_part(local_part)
        return f"{local_part}@{domain.rstrip('.')}"

    def queues(self, node: str) -> list[str]:
        """The domains whose mail may be waiting here that ETRN means by `node` (RFC 1985 §5.3).

        That is the domain itself, and after `@` also every domain below it.
        """
        domain = node.lower().removeprefix("@")
        below = f".{domain}" if node.startswith("@") else None
        return sorted(own for own in self._own if own == domain or (below and own.endswith(below)))

    def submits(self, peer: str) -> bool:
        """Whether `peer` (an IP address) may send to anybody."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)

    def judge(self, recipient: str, peer: str) -> Reply | None:
        """Why `recipient` is refused to `peer`, or None."""
        if domain_of(recipient) in self._own:
            local_part = recipient.rpartition("@")[0].lower()
            if self._known is None or local_part == "postmaster":
                return None
            if f"{local_part}@{domain_of(recipient)}" in self._known:
                return None
            return Reply(550, UNKNOWN_USER, f"<{recipient}>: no such user here")
        if self.submits(peer):
            return None
        return Reply(550, RELAY_DENIED, f"<{recipient}>: relay access denied")
