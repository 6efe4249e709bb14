"""Postfix's tables from an MTA's configuration: aliases, whom a backup knows, mailboxes. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from mxlab_services.address import canonical, domain_of, literal_of
from mxlab_services.config import MtaConfig
from mxlab_services.domain import fold_domain
from mxlab_services.storage.maildir import folder_of

# A folder's name for any address, as `folder_of` makes it: byte by byte, what is not safe as %XX.
FOLDER_QUERY = (
    "WITH RECURSIVE key(bytes) AS (SELECT CAST(lower('%s') AS BLOB)), made(n, name) AS "
    "(SELECT 1, '' UNION ALL SELECT n + 1, name || "
    "CASE WHEN CAST(substr(bytes, n, 1) AS TEXT) GLOB '[A-Za-z0-9_.~@+-]' "
    "THEN CAST(substr(bytes, n, 1) AS TEXT) ELSE '%%' || hex(substr(bytes, n, 1)) END "
    "FROM made, key WHERE n <= length(bytes)) "
    "SELECT CASE WHEN name LIKE '.%%' THEN '%%2E' || substr(name, 2) ELSE name END || '/' "
    "FROM made ORDER BY n DESC LIMIT 1"
)


def table(entries: Iterable[tuple[str, str]]) -> str:
    """A table as text (texthash)."""
    found: Mapping[str, str] = dict(entries)
    return "".join(f"{key} {value}\n" for key, value in found.items())


def any_mailbox(config: MtaConfig) -> str:
    """The query (sqlite_table(5)) for the mailboxes of domains in which anybody has one."""
    domains = " ".join(open_domains(config))
    return f"dbpath = :memory:\ndomain = {domains}\nquery = {FOLDER_QUERY}\n"


def aliases(config: MtaConfig) -> Iterator[tuple[str, str]]:
    """The aliases; and to whom mail goes for somebody at one of the host's own addresses."""
    for alias, members in config.aliases.items():
        if members:
            yield canonical(alias), ", ".join(members)
    first = first_domain(config)
    for literal in map(literal_of, config.addresses):
        if config.local_domains and (config.recipients is None or first in open_domains(config)):
            yield f"@{literal}", f"@{first}"
        for name in _known(config, [first]) if config.local_domains else [f"postmaster@{first}"]:
            yield f"{name.rpartition('@')[0]}@{literal}", name


def relayed(config: MtaConfig) -> Iterator[tuple[str, str]]:
    """Whom a backup knows."""
    for name in _known(config, config.relay_domains):
        yield name, "known"
    for domain in map(fold_domain, config.open_domains):
        yield f"@{domain}", "any"


def mailboxes(config: MtaConfig) -> Iterator[tuple[str, str]]:
    """The mailboxes that are known by name; those of other addresses have their name by a query."""
    for name in _known(config, config.local_domains):
        yield name, f"{folder_of(name)}/"


def _known(config: MtaConfig, domains: Iterable[str]) -> list[str]:
    """The addresses in these domains that are known by name: each has a postmaster (RFC 5321
    §4.5.1)."""
    served = [fold_domain(domain) for domain in domains]
    known = [f"postmaster@{domain}" for domain in served]
    known += [a for a in map(canonical, config.recipients or ()) if domain_of(a) in served]
    return list(dict.fromkeys(known))


def open_domains(config: MtaConfig) -> list[str]:
    """The local domains in which any local part is somebody's."""
    local = [fold_domain(domain) for domain in config.local_domains]
    if config.recipients is None:
        return local
    return [domain for domain in local if domain in set(map(fold_domain, config.open_domains))]


def first_domain(config: MtaConfig) -> str:
    """The domain of a bare `postmaster`."""
    named = (*config.local_domains, *config.relay_domains)
    return fold_domain(named[0] if named else config.hostname)
