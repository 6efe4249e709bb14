"""Which recipients an MTA accepts from whom (RFC 5321 §3.6.2): it is never an open relay. Pure."""

import ipaddress

from mxlab_services.address import domain_of, literal_of, local_part_of
from mxlab_services.config import MtaConfig
from mxlab_services.directory import directory_of
from mxlab_services.domain import fold_domain
from mxlab_services.ip import ip_address, ip_network
from mxlab_services.reply import Reply

UNKNOWN_USER = "5.1.1"
RELAY_DENIED = "5.7.1"
LOOP = "5.4.6"


def local_domains(config: MtaConfig) -> frozenset[str]:
    """The domains whose mailboxes are at this MTA, folded: those it is told of, and the literals of
    its own addresses (RFC 1123 §5.2.17)."""
    return frozenset(map(fold_domain, config.local_domains)) | _literals(config)


def _literals(config: MtaConfig) -> frozenset[str]:
    return frozenset(map(literal_of, config.addresses))


class Policy:
    """The rules of one MTA: its own domains, those it is a backup for, and its own clients."""

    def __init__(self, config: MtaConfig) -> None:
        self._literals = _literals(config)
        self._relayed = frozenset(map(fold_domain, config.relay_domains))
        self._own = local_domains(config) | self._relayed
        self._directory = directory_of(config)
        self._networks = [ip_network(net) for net in config.submission_networks]
        named = (*config.local_domains, *config.relay_domains)
        self._first = named[0] if named else config.hostname
        self._has_users = bool(config.local_domains)

    def complete(self, recipient: str) -> str:
        """The address as it is meant: a bare `postmaster` is ours (RFC 5321 §4.5.1)."""
        return recipient if "@" in recipient else f"{recipient}@{self._first}"

    def queues(self, node: str) -> list[str]:
        """The domains whose mail may be waiting here that ETRN means by `node` (RFC 1985 §5.3).

        That is the domain itself, and after `@` also every domain below it.
        """
        domain = fold_domain(node.removeprefix("@"))
        below = f".{domain}" if node.startswith("@") else None
        return sorted(
            own
            for own in self._own - self._literals
            if own == domain or (below and own.endswith(below))
        )

    def submits(self, peer: str) -> bool:
        """Whether `peer` (an IP address) may send to anybody."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)

    def judge(self, recipient: str, peer: str, *, trusted: bool = False) -> Reply | None:
        """Why `recipient` is refused to `peer`, or None. `trusted`: it may send to anybody."""
        domain = domain_of(recipient)
        if domain in self._own:
            if self._exists(local_part_of(recipient), domain):
                return self._circle(recipient)
            return Reply(550, UNKNOWN_USER, f"<{recipient}>: no such user here")
        if trusted or self.submits(peer):
            return None
        return Reply(550, RELAY_DENIED, f"<{recipient}>: relay access denied")

    def _circle(self, recipient: str) -> Reply | None:
        """What is said of an alias that leads back to itself."""
        expansion = self._directory.expanded(recipient)
        if expansion is None or not expansion.circle:
            return None
        way = ", ".join(expansion.circle)
        return Reply(550, LOOP, f"<{recipient}>: its aliases go in a circle: {way}")

    def _exists(self, local_part: str, domain: str) -> bool:
        """Whether there is such a user, as far as is known here. At this host's own address are
        the users of its first domain; at a backup's none but its postmaster."""
        if local_part == "postmaster":
            return True
        if domain in self._literals:
            if not self._has_users:
                return False
            domain = fold_domain(self._first)
        return self._directory.exists(f"{local_part}@{domain}")
