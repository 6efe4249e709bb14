"""Who has a mailbox at an MTA: users, aliases, addresses with a tag (RFC 5233). Pure.

An address that is known as it stands is that; else what follows a `+` in its local part is a tag,
and it is the user's before it, or the alias's. Mail for an alias goes to the alias's members; one
that names itself among them has a mailbox of its own, too.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from mxlab_services.address import canonical, domain_of
from mxlab_services.config import MtaConfig
from mxlab_services.domain import fold_domain

TAG = "+"


class Expansion(Struct, frozen=True):
    """To whom mail for an alias goes: `members`, each once, as they were given; `circle`: the way
    on which it leads back to where it was, if it does."""

    members: tuple[str, ...]
    circle: tuple[str, ...] = ()


class Directory:
    """The addresses of one MTA. `known`: the users; None: any. Of `open_domains` any local part is
    a user's in either case. `aliases`: the members of each."""

    def __init__(
        self,
        known: Iterable[str] | None,
        open_domains: Iterable[str] = (),
        aliases: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._known = None if known is None else frozenset(map(canonical, known))
        self._open = frozenset(map(fold_domain, open_domains))
        self._aliases = {canonical(one): tuple(to) for one, to in (aliases or {}).items()}

    def exists(self, address: str) -> bool:
        """Whether mail for the address is for somebody here."""
        name = canonical(address)
        return self._is_user(name) or self._alias(name) is not None or self.mailbox(name) != name

    def mailbox(self, address: str) -> str:
        """The mailbox of an address that is no alias, in canonical form."""
        name = canonical(address)
        base = without_tag(name)
        if base == name or self._is_user(name) or not self._is_user(base):
            return name
        return base

    def expanded(self, address: str) -> Expansion | None:
        """What an alias stands for; None where the address is none."""
        if not self._aliases or self._alias(canonical(address)) is None:
            return None
        found: dict[str, str] = {}
        done: set[str] = set()
        circle: list[str] = []

        def follow(one: str, way: tuple[str, ...]) -> None:
            name = self._alias(canonical(one))
            if name is None or way[-1:] == (name,):
                found.setdefault(canonical(one), one)
            elif name in way:
                circle[:] = circle or [*way[way.index(name) :], name]
            elif name not in done:
                done.add(name)
                for member in self._aliases[name]:
                    follow(member, (*way, name))

        follow(address, ())
        return Expansion(tuple(found.values()), tuple(circle))

    def _alias(self, name: str) -> str | None:
        """The alias that a canonical address is, with its tag or without."""
        if name in self._aliases:
            return name
        base = without_tag(name)
        return base if base in self._aliases and not self._is_user(name) else None

    def _is_user(self, name: str) -> bool:
        if self._known is None or domain_of(name) in self._open:
            return True
        return name in self._known


def without_tag(name: str) -> str:
    """A canonical address without what follows the first `+` of its local part."""
    local, at, domain = name.rpartition("@")
    base, tag, _ = local.partition(TAG)
    return f"{base}{at}{domain}" if tag and base and not local.startswith('"') else name


def directory_of(config: MtaConfig) -> Directory:
    """The addresses of the MTA that `config` describes."""
    return Directory(config.recipients, config.open_domains, config.aliases)
