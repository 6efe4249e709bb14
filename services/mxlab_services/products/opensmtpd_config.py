"""OpenSMTPD's files, rendered from an MTA's configuration: its own, and the tables it names. Pure.

Guarantee: what a peer brings reaches a path only through a table of ours, or as letters that stand
for themselves in a folder's name, so that a mailbox is at `storage.maildir.folder_of` its address.

Long: the configuration's directives and five tables, over one reading of who has a mailbox.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from mxlab_services.address import canonical, domain_of, literal_of
from mxlab_services.config import MtaConfig
from mxlab_services.directory import directory_of
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ConfigError
from mxlab_services.products.base import INNER_PORT
from mxlab_services.queue.retry import schedule_of
from mxlab_services.storage.maildir import folder_of

CONFIG, ALIASES, USERS, KNOWN, ANYBODY = "smtpd.conf", "aliases", "users", "known", "anybody"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
HOST = "127.0.0.2"  # at 127.0.0.1 it would take mail for a local program's, and add a Date to it
OWNER = 2525  # user and group of the mailboxes, as of our own primary's
ACCOUNT = "mxlab"  # that user's name in the images
# Seconds: it warns as soon as the next attempt would come after so long, and one may be days away.
NEVER = 10 * 365 * 86400
CONNECTIONS = 5  # of its own to one address, at most
MAILS_PER_SESSION = 10_000  # it would close a session after 100
_NAME = re.compile(r"[a-z0-9._-]+|\[(?:ipv6:)?[0-9a-f.:]+\]", re.ASCII)
_ADDRESS = re.compile(
    r"[a-z0-9!$%&'*?^`{}~+=_-][a-z0-9!#$%&'*/?^`{|}~+=_.-]*@[a-z0-9.\[\]-]+", re.ASCII
)
# Local parts that name their folder letter by letter.
_PLAIN = "^[a-z0-9_+-][a-z0-9._+-]*@"


class OpensmtpdPlaces(Struct, frozen=True):
    """Where OpenSMTPD's files are. The image makes /var/spool/smtpd a link to `spool`."""

    data: str

    @property
    def home(self) -> Path:
        return Path(self.data) / "opensmtpd"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def mailboxes(self) -> Path:
        return Path(self.data) / "mailboxes"


class Rendered(Struct, frozen=True):
    """Each file by its name below `home`, and the folders of the known mailboxes."""

    files: Mapping[str, str]
    folders: tuple[str, ...]


def rendered(config: MtaConfig) -> Rendered:
    """What OpenSMTPD is told. Raises ConfigError for what it cannot be."""
    _check(config)
    mailboxes = _mailboxes(config)
    files = {
        CONFIG: "".join(f"{line}\n" for line in _configuration(config)),
        ALIASES: _table(_aliases(config, mailboxes)),
        USERS: _table(_users(config, mailboxes)),
        KNOWN: "# @list\n" + "".join(f"{known}\n" for known in _known(config, mailboxes)),
        ANYBODY: _table(_anybody(config)),
    }
    if config.tls is not None:
        files |= {CERTIFICATE: config.tls.certificate, KEY: config.tls.key}
    return Rendered(files, tuple(folder_of(address) for address in mailboxes))


def _check(config: MtaConfig) -> None:
    for key, wrong in (
        ("roots", "OpenSMTPD asks the system's resolver, which asks one server"),
        ("submission", "this lab's OpenSMTPD takes mail on port 25 only"),
    ):
        if getattr(config, key):
            raise ConfigError(f"configuration: `{key}`: {wrong}")
    if config.smtp_port != 25:
        raise ConfigError("configuration: `smtp_port`: OpenSMTPD finds its peers at port 25 only")


# --- smtpd.conf ----------------------------------------------------------------------------------


def _configuration(config: MtaConfig) -> Iterable[str]:
    home, limits = OpensmtpdPlaces(config.data).home, config.limits
    schedule, scale = schedule_of(config.retry), config.time.scale
    lifetime = _seconds(schedule.lifetime / scale)
    warning = _seconds(schedule.warning / scale) if schedule.warning else NEVER
    yield from _tables(config, home)
    yield f"queue ttl {lifetime}s"
    yield f"bounce warn-interval {warning}s"
    yield f"smtp max-message-size {limits.message_size}"
    yield f"smtp limit max-rcpt {limits.recipients} max-mails {MAILS_PER_SESSION}"
    if not any(":" in address for address in config.addresses):
        yield "mta limit inet4"
    if limits.destination_concurrency < CONNECTIONS:
        yield f"mta limit max-conn-per-domain {limits.destination_concurrency}"
    host, secured = _name(config.hostname), ""
    if config.tls is not None:
        yield f'pki {host} cert "{home}/{CERTIFICATE}"'
        yield f'pki {host} key "{home}/{KEY}"'
        secured = f" tls pki {host}"
    yield "listen on socket"
    yield f"listen on {HOST} port {INNER_PORT} hostname {host}{secured} proxy-v2"
    yield from _actions(config, host)
    yield from _matches(config)


def _tables(config: MtaConfig, home: Path) -> Iterable[str]:
    for name in (ALIASES, USERS, KNOWN, ANYBODY):
        yield f'table {name} "file:{home}/{name}"'
    for name, members in _sets(config).items():
        if members:
            listed = ", ".join(f'"{one}"' for one in members)
            yield f"table {name} {{ {listed} }}"


def _sets(config: MtaConfig) -> dict[str, list[str]]:
    """The tables of names and networks; one that would be empty is none."""
    wide = _open(config)
    return {
        "listed": [domain for domain in _served(config) if domain not in wide],
        "open": [domain for domain in _served(config) if domain in wide],
        "relayed": [_name(one) for one in map(fold_domain, config.relay_domains)],
        "relayed_open": [
            _name(one)
            for one in map(fold_domain, config.relay_domains)
            if config.recipients is None or one in map(fold_domain, config.open_domains)
        ],
        "submitters": list(config.submission_networks),
        "forwarded": _forwarded(config),
        "myself": [_name(fold_domain(config.hostname))],
    }


def _actions(config: MtaConfig, host: str) -> Iterable[str]:
    boxes = OpensmtpdPlaces(config.data).mailboxes
    yield f'action "in" maildir "%{{user.directory}}" virtual <{ALIASES}> userbase <{USERS}>'
    yield f'action "open" maildir "{boxes}/%{{dest:lowercase}}" virtual <{ANYBODY}>'
    if config.smarthost:
        there = _name(fold_domain(config.smarthost))
        yield f'action "out" relay host "smtp://{there}" helo {host}'
    else:
        yield f'action "out" relay helo {host}'
        yield f'action "backup" relay backup mx {host} helo {host}'


def _matches(config: MtaConfig) -> Iterable[str]:
    """Who may send what, the first rule that fits; what fits none is refused."""
    backup = "out" if config.smarthost else "backup"
    sets = _sets(config)
    if sets["listed"]:
        yield f'match from any for domain <listed> rcpt-to <{KNOWN}> action "in"'
        yield "match from any for domain <listed> reject"
    if sets["open"]:
        yield f'match from any for domain <open> rcpt-to regex "{_PLAIN}" action "open"'
        yield "match from any for domain <open> reject"
    if sets["relayed_open"]:
        yield f'match from any for domain <relayed_open> action "{backup}"'
    if len(sets["relayed"]) > len(sets["relayed_open"]):
        yield f'match from any for domain <relayed> rcpt-to <{KNOWN}> action "{backup}"'
        yield "match from any for domain <relayed> reject"
    yield f'match from any for domain <myself> rcpt-to <{KNOWN}> action "in"'
    if sets["forwarded"]:
        yield 'match from any for any rcpt-to <forwarded> action "out"'
    if sets["submitters"]:
        yield 'match from src <submitters> for any action "out"'
    yield 'match from socket for any action "out"'


# --- tables ---------------------------------------------------------------------------------------


def _served(config: MtaConfig) -> list[str]:
    """The domains of its mailboxes, and the literals of its own addresses (RFC 1123 §5.2.17), but
    for those of IPv6: a table's key ends at a colon."""
    if not config.local_domains:
        return []
    named = [_name(fold_domain(domain)) for domain in config.local_domains]
    return named + [literal_of(address) for address in config.addresses if ":" not in address]


def _open(config: MtaConfig) -> list[str]:
    """Those of them in which any local part is somebody's."""
    served = _served(config)
    if config.recipients is None:
        return served
    wide = set(map(fold_domain, config.open_domains))
    return [domain for domain in served if domain in wide]


def _mailboxes(config: MtaConfig) -> list[str]:
    """The addresses with a mailbox that are known by name, each once: an alias that names itself,
    too."""
    wide, served = _open(config), _served(config)
    known = [*map(canonical, config.recipients or ())]
    if served:
        first = served[0]
        literals = [domain for domain in served if domain.startswith("[")]
        at_first = [one.rpartition("@")[0] for one in known if domain_of(one) == first]
        known += [f"{local}@{literal}" for local in at_first for literal in literals]
        known += [f"postmaster@{domain}" for domain in served]
    known += [one for one, to in _members(config).items() if one in map(canonical, to)]
    kept = [one for one in known if domain_of(one) in served and domain_of(one) not in wide]
    return [one for one in dict.fromkeys(kept) if _ADDRESS.fullmatch(one)]


def _known(config: MtaConfig, mailboxes: Iterable[str]) -> Iterable[str]:
    """Whom it takes mail for, by name."""
    wide = _open(config)
    relayed = list(map(fold_domain, config.relay_domains))
    known = [*mailboxes, *(alias for alias, _ in _aliases(config, mailboxes))]
    known += [f"postmaster@{_name(domain)}" for domain in relayed]
    known += [one for one in map(canonical, config.recipients or ()) if domain_of(one) in relayed]
    kept = (one for one in dict.fromkeys(known) if domain_of(one) not in wide)
    return [one for one in kept if _ADDRESS.fullmatch(one)]


def _user(number: int) -> str:
    return f"u{number}"


def _users(config: MtaConfig, mailboxes: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Each mailbox as the home of a user."""
    boxes = OpensmtpdPlaces(config.data).mailboxes
    for number, address in enumerate(mailboxes):
        folder = folder_of(address)
        if any(sign in folder for sign in '$`"\\:'):  # a shell reads it
            raise ConfigError(f"configuration: `recipients`: {address[:80]!r} is too long a name")
        yield _user(number), f"{OWNER}:{OWNER}:{boxes}/{folder}"


def _aliases(config: MtaConfig, mailboxes: Iterable[str]) -> Iterable[tuple[str, str]]:
    """To whom each known address leads: its user, or an alias's members."""
    users = {address: _user(number) for number, address in enumerate(mailboxes)}
    wide = _open(config)
    found = dict(users)
    for alias, members in _members(config).items():
        if domain_of(alias) not in wide:
            own = users.get(alias)
            to = [own if canonical(one) == alias and own else one for one in members]
            found[alias] = ", ".join(to)
    if (home := _postmaster(config)) is not None:
        found.setdefault(f"postmaster@{fold_domain(config.hostname)}", home)
    return found.items()


def _anybody(config: MtaConfig) -> Iterable[tuple[str, str]]:
    """The same for domains in which anybody has a mailbox."""
    wide = _open(config)
    for alias, members in _members(config).items():
        if domain_of(alias) in wide:
            yield alias, ", ".join(ACCOUNT if canonical(one) == alias else one for one in members)
    for domain in wide:
        yield f"@{domain}", ACCOUNT


def _postmaster(config: MtaConfig) -> str | None:
    """Whose a bare `postmaster` is: it takes that for the host's own (RFC 5321 §4.5.1)."""
    named = [*config.local_domains, *config.relay_domains]
    return f"postmaster@{fold_domain(named[0])}" if named else None


def _members(config: MtaConfig) -> dict[str, tuple[str, ...]]:
    """Each alias that leads to somebody. Raises ConfigError for a member it cannot be told."""
    directory, found = directory_of(config), {}
    for alias in map(canonical, config.aliases):
        expansion = directory.expanded(alias)
        members = expansion.members if expansion is not None else ()
        for one in (alias, *members):
            if not _ADDRESS.fullmatch(one.lower()):
                raise ConfigError(
                    f"configuration: `aliases`: OpenSMTPD cannot be told of {one[:80]!r}"
                )
        if members:
            found[alias] = members
    return found


def _forwarded(config: MtaConfig) -> list[str]:
    """Members of aliases that are elsewhere: for each of them, whoever writes to the alias must be
    let."""
    near = {*_served(config), *map(fold_domain, config.relay_domains)}
    away = (one for members in _members(config).values() for one in map(canonical, members))
    return [one for one in dict.fromkeys(away) if domain_of(one) not in near]


# --- how OpenSMTPD writes values ------------------------------------------------------------------


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{key} {value}\n" for key, value in rows)


def _seconds(real: float) -> int:
    """It counts in whole real seconds."""
    return max(1, math.ceil(real - 1e-9))


def _name(name: str) -> str:
    """A host or domain name. Raises ConfigError for what could mean more."""
    if not _NAME.fullmatch(name.lower()):
        raise ConfigError(f"configuration: {name[:80]!r} is no name that OpenSMTPD can be told")
    return name
