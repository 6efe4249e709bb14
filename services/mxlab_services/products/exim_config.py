"""Exim's files, rendered from an MTA's configuration: its own, and the tables it looks up. Pure.

Guarantee: what a message or a peer brings reaches a path only through a table of ours, letter by
letter, so that a mailbox's folder is `storage.maildir.folder_of` its address.

Long: one function for each section of Exim's configuration file.
"""

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from mxlab_services.address import canonical, domain_of
from mxlab_services.config import MtaConfig, RetryConfig
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ConfigError
from mxlab_services.products.base import INNER_HOST, INNER_PORT
from mxlab_services.products.own_settings import RETRY, with_settings
from mxlab_services.queue.retry import DAY, HOUR, MINUTE, schedule_of
from mxlab_services.smtp.server.policy import local_domains

CONFIG, RECIPIENTS, ALIASES, LETTERS = "exim4.conf", "recipients", "aliases", "letters"
NODES = "etrn"
CERTIFICATE, KEY, CA = "certificate.pem", "key.pem", "ca.pem"

USER = 2525  # of the lab's images: it owns the mailboxes, and Exim runs as it
QUEUE_RUN = 30 * MINUTE  # Debian's interval between queue runs; no wait is that long in a workshop
_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f.:]+\]|\[ipv6:[0-9a-f.:]+\]", re.ASCII)


class Places(Struct, frozen=True):
    """Where Exim's files are: its configuration and tables, and what it writes itself."""

    data: str

    @property
    def home(self) -> str:
        return f"{self.data}/exim"

    @property
    def spool(self) -> str:
        return f"{self.home}/spool"

    @property
    def logs(self) -> str:
        return f"{self.home}/log"

    @property
    def pid_file(self) -> str:
        return f"{self.home}/run/exim.pid"

    @property
    def mailboxes(self) -> str:
        return f"{self.data}/mailboxes"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that must be there before it starts."""
        return tuple(map(Path, (self.spool, self.logs, f"{self.home}/run", self.mailboxes)))


def rendered(config: MtaConfig) -> dict[str, bytes]:
    """Exim's files for this MTA, by name. Raises ConfigError for what Exim cannot be told."""
    if config.submission is not None:
        raise _cannot("submission", "this lab's Exim takes mail on port 25 only")
    if config.roots:
        raise _cannot("roots", "Exim asks the system's resolver, which asks one server")
    files = {
        CONFIG: "\n".join(_configuration(config)) + "\n",
        ALIASES: _table(
            (canonical(alias), ", ".join(members)) for alias, members in config.aliases.items()
        ),
        RECIPIENTS: _table((known, "") for known in _known(config)),
        NODES: _table(_etrn_nodes(config)),
    }
    if config.tls is not None:
        files |= {CERTIFICATE: config.tls.certificate, KEY: config.tls.key, CA: config.tls.ca}
    texts = {name: text.encode() for name, text in files.items()}
    return texts | {LETTERS: _table(_letters()).encode("latin-1")}


def queue_run(config: MtaConfig) -> int:
    """Real seconds between two queue runs: a tenth of the shortest wait, so that a retry is not
    late by much; at least 1, at most as Debian has it."""
    first = min(rule.first for rule in _rules(config.retry)) / config.time.scale
    return max(1, min(int(first / 10), int(QUEUE_RUN)))


def _cannot(key: str, why: str) -> ConfigError:
    return ConfigError(f"configuration: `{key}`: {why}")


def _configuration(config: MtaConfig) -> Iterable[str]:
    places = Places(config.data)
    if config.local_domains or config.recipients is not None:
        yield from _macros(places)
    own = {name: value for name, value in config.product_settings.items() if name != RETRY}
    yield from with_settings((*_main(config, places), *_receiving(config, places)), own)
    yield from ("", "begin acl", *_acls(config, places))
    yield from ("", "begin routers", *_routers(config, places))
    yield from ("", "begin transports", *_transports(config, places))
    rules = f"* * {_retry(config.retry, config.time.scale)}"
    yield from ("", "begin retry", config.product_settings.get(RETRY, rules))


# --- the main section -----------------------------------------------------------------------------


_UNTOLD = (
    "8bitmime", "arguments", "dkim", "dkim_verbose", "host_lookup_failed", "incoming_interface",
    "pid", "pipelining", "proxy", "queue_run", "skip_delivery", "smtp_connection", "subject",
)  # fmt: skip


def _main(config: MtaConfig, places: Places) -> Iterable[str]:
    local = sorted(local_domains(config))
    relayed = [fold_domain(domain) for domain in config.relay_domains]
    named = [*config.local_domains, *config.relay_domains, config.hostname]
    six = any(":" in address for address in config.addresses)
    schedule = schedule_of(config.retry)
    yield f"primary_hostname = {_name(config.hostname)}"
    yield f"qualify_domain = {_name(fold_domain(named[0]))}"
    yield f"domainlist local_domains = {_list(map(_name, local))}"
    yield f"domainlist relay_domains = {_list(map(_name, relayed))}"
    yield f"hostlist submitters = {_list(config.submission_networks)}"
    yield f"spool_directory = {places.spool}"
    yield f"pid_file_path = {places.pid_file}"
    yield f"log_file_path = {places.logs}/%slog"
    yield f"log_selector = +all {' '.join(f'-{one}' for one in _UNTOLD)}"
    yield "write_rejectlog = false"
    yield f"local_interfaces = {INNER_HOST}"
    yield f"daemon_smtp_ports = {INNER_PORT}"
    yield f"hosts_proxy = {INNER_HOST}"
    yield f"extra_local_interfaces = {_list(config.addresses)}"
    yield f"disable_ipv6 = {_bool(not six)}"
    yield "timezone = UTC"
    yield "keep_environment ="
    yield f"exim_user = {USER}"  # one user for all: no process of Exim's ever has to be root
    yield f"exim_group = {USER}"
    yield "deliver_drop_privilege"
    yield "never_users = root"
    yield "rfc1413_query_timeout = 0s"
    yield "host_lookup_order ="  # or it would ask who the peer is, at every connection
    yield f"dns_retrans = {_at_least_1(min(config.timeouts.connect, 5.0))}"
    yield f"delay_warning = {_warning(schedule.warning / config.time.scale)}"
    yield "ignore_bounce_errors_after = 0s"
    yield f"received_headers_max = {min(config.limits.hops, schedule.hops)}"
    yield "return_path_remove = false"  # a relay changes nothing in a message that it passes on
    yield "delivery_date_remove = false"
    yield "envelope_to_remove = false"


def _receiving(config: MtaConfig, places: Places) -> Iterable[str]:
    limits = config.limits
    yield f"message_size_limit = {limits.message_size}"
    yield f"recipients_max = {limits.recipients}"
    yield f"smtp_accept_max = {limits.sessions}"
    yield f"smtp_max_synprot_errors = {limits.errors}"
    yield f"smtp_receive_timeout = {_at_least_1(config.timeouts.idle)}"
    yield "smtputf8_advertise_hosts = *"
    yield "dsn_advertise_hosts = *"
    yield "chunking_advertise_hosts ="
    nodes = f"lsearch{{{places.home}/{NODES}}}"
    yield f"smtp_etrn_command = /usr/sbin/exim4 -Rf ${{lookup{{$domain}}{nodes}}}"
    yield "acl_smtp_rcpt = acl_rcpt"
    yield "acl_smtp_data = acl_data"
    yield "acl_smtp_etrn = acl_etrn"
    if config.tls is None:
        yield "tls_advertise_hosts ="
        yield "tls_certificate = $tls_in_sni"  # with none, it makes a key whenever it starts: slow
    else:
        yield "tls_advertise_hosts = *"
        yield f"tls_certificate = {places.home}/{CERTIFICATE}"
        yield f"tls_privatekey = {places.home}/{KEY}"


# --- who may send what ----------------------------------------------------------------------------


def _acls(config: MtaConfig, places: Places) -> Iterable[str]:
    yield "acl_rcpt:"
    yield "  warn control = dkim_disable_verify"
    yield "  accept hosts = +submitters"
    yield "         !domains = +local_domains : +relay_domains"
    yield "  accept domains = +local_domains"
    yield "         endpass"
    yield "         verify = recipient"
    if config.recipients is not None:
        yield "  accept domains = +relay_domains"
        yield "         local_parts = postmaster"
        yield "  accept domains = +relay_domains"
        yield "         endpass"
        yield "         message = Unknown user"
        yield f"         condition = ${{if {_exists(config, places)}}}"
    else:
        yield "  accept domains = +relay_domains"
    yield "  deny message = relay not permitted"
    yield ""
    yield "acl_data:"
    yield "  deny message = message has a line that is too long"
    yield f"       condition = ${{if >{{$max_received_linelength}}{{{config.limits.line_length}}}}}"
    yield "  accept"
    yield ""
    yield "acl_etrn:"
    known = f"lookup{{$smtp_command_argument}}lsearch{{{places.home}/{NODES}}}"
    yield f"  accept condition = ${{{known}{{true}}{{false}}}}"
    yield "  defer message = 459 no mail is kept here for $smtp_command_argument"


def _exists(config: MtaConfig, places: Places) -> str:
    """The condition that the address is known here: by its name, its tag or as an alias."""
    either = [_is_user(config, places, _WHOLE), _is_user(config, places, _BARE)]
    if config.aliases:
        either += [_in_table(places, ALIASES, _WHOLE), _in_table(places, ALIASES, _BARE)]
    return f"or{{{' '.join(f'{{{one}}}' for one in either)}}}"


_WHOLE, _BARE = "FULL_ADDRESS", "BARE_ADDRESS"  # macros of Exim's: the recipient, with its tag
_FOLDERS = {_WHOLE: "FULL_FOLDER", _BARE: "BARE_FOLDER"}


def _macros(places: Places) -> Iterable[str]:
    """Names for what is long: the address of the recipient, and each letter of it as a folder's
    name has it."""
    ascii_quoted = r"match{$local_part}{\N^[ -~]+$\N}{${quote_local_part:$local_part}}{$local_part}"
    yield f"{_WHOLE} = ${{if {ascii_quoted}}}@$domain"
    yield rf"{_BARE} = ${{sg{{$local_part}}{{\N^([^+]+)\+.*$\N}}{{\$1}}}}@$domain"
    letter = f"${{lookup{{$item}}lsearch{{{places.home}/{LETTERS}}}}}"
    for address, folder in _FOLDERS.items():
        each = rf"${{sg{{{address}}}{{\N(?s)(.)\N}}{{=\$1=\n}}}}"
        yield rf"{folder} = ${{reduce{{<\n {each}}}{{}}{{$value{letter}}}}}"


def _in_table(places: Places, table: str, address: str) -> str:
    path = f"{places.home}/{table}"
    return f"bool{{${{lookup{{{address}}}lsearch{{{path}}}{{true}}{{false}}}}}}"


def _is_user(config: MtaConfig, places: Places, address: str) -> str:
    known = _in_table(places, RECIPIENTS, address)
    if not config.open_domains:
        return known
    inside = _list(_name(fold_domain(domain)) for domain in config.open_domains)
    return f"or{{{{match_domain{{$domain}}{{{inside}}}}}{{{known}}}}}"


# --- where mail goes ------------------------------------------------------------------------------


def _routers(config: MtaConfig, places: Places) -> Iterable[str]:
    if config.local_domains:
        if config.aliases:
            yield from _aliases(config, places)
        yield from _local(config, places)
    if config.smarthost:
        yield "smarthost:"
        yield "  driver = manualroute"
        yield "  domains = ! +local_domains"
        yield f"  route_list = * {_name(fold_domain(config.smarthost))} byname"
        yield "  host_find_failed = defer"
        yield "  self = defer"
    else:
        yield "mx:"
        yield "  driver = dnslookup"
        yield "  domains = ! +local_domains"
        yield "  self = fail"
        yield "  cannot_route_message = no mail exchanger of $domain can be reached from here"
    outside = [f"! {network}" for network in config.networks]
    yield f"  ignore_target_hosts = {_list(outside)}"  # lab mail cannot leave the lab
    yield "  transport = smtp"
    yield "  no_more"


def _aliases(config: MtaConfig, places: Places) -> Iterable[str]:
    path = f"{places.home}/{ALIASES}"
    no_user = "" if config.recipients is None else _is_user(config, places, _WHOLE)
    for name, address in (("aliases", _WHOLE), ("tagged_aliases", _BARE)):
        if name == "tagged_aliases" and not no_user:
            return  # any address is a user's, with its tag
        yield f"{name}:"
        yield "  driver = redirect"
        yield "  domains = +local_domains"
        if name == "tagged_aliases":
            yield f"  condition = ${{if !{no_user}}}"
        yield f"  data = ${{lookup{{{address}}}lsearch{{{path}}}}}"
        yield "  forbid_file"
        yield "  forbid_pipe"


def _local(config: MtaConfig, places: Places) -> Iterable[str]:
    whole, bare = _FOLDERS[_WHOLE], _FOLDERS[_BARE]
    if config.recipients is None:
        folder = whole
    else:
        tagged = f"${{if {_is_user(config, places, _BARE)}{{{bare}}}fail}}"
        folder = f"${{if {_is_user(config, places, _WHOLE)}{{{whole}}}{{{tagged}}}}}"
    yield "mailboxes:"
    yield "  driver = accept"
    yield "  domains = +local_domains"
    yield f"  address_data = {folder}"
    yield "  transport = mailboxes"
    yield "  cannot_route_message = Unknown user"
    yield "  no_more"


def _letters() -> Iterable[tuple[str, str]]:
    """Each octet, between two signs, and how it stands in the name of a folder."""
    for octet in range(1, 256):
        letter = chr(octet)
        if letter == "\n" or (letter.isascii() and letter.isupper()):
            continue  # Exim looks up without regard to case
        yield f"={letter}=", quote(bytes([octet]), safe="@+")


def _known(config: MtaConfig) -> Iterable[str]:
    """All addresses that are users, in canonical form; each once."""
    known = dict.fromkeys(map(canonical, config.recipients or ()))
    first = fold_domain(config.local_domains[0]) if config.local_domains else ""
    literals = [domain for domain in local_domains(config) if domain.startswith("[")]
    for address in list(known):
        if domain_of(address) == first:
            known |= dict.fromkeys(f"{address.rpartition('@')[0]}@{one}" for one in literals)
    known |= dict.fromkeys(f"postmaster@{domain}" for domain in sorted(local_domains(config)))
    return known


def _etrn_nodes(config: MtaConfig) -> Iterable[tuple[str, str]]:
    """What ETRN may name (RFC 1985 §5.3: a domain, or with `@` those below it, too), and what the
    recipients have in them that are meant."""
    for domain in sorted({*map(fold_domain, (*config.local_domains, *config.relay_domains))}):
        yield domain, f"@{domain}"
        yield f"@{domain}", domain


def _transports(config: MtaConfig, places: Places) -> Iterable[str]:
    times = config.timeouts
    commands = max(times.greeting, times.helo, times.mail, times.rcpt)  # Exim has one for all
    yield "smtp:"
    yield "  driver = smtp"
    yield f"  port = {config.smtp_port}"
    yield f"  connect_timeout = {_at_least_1(times.connect)}"
    yield f"  command_timeout = {_at_least_1(commands)}"
    yield f"  data_timeout = {_at_least_1(times.block)}"
    yield f"  final_timeout = {_at_least_1(times.dot)}"
    yield f"  message_linelength_limit = {config.limits.line_length}"
    yield "  multi_domain"
    yield "  hosts_try_dane ="
    yield "  hosts_try_fastopen ="  # with it, what bounds the connection is the command's timeout
    if config.tls is None:
        yield "  hosts_avoid_tls = *"
    else:
        yield f"  tls_verify_certificates = {places.home}/{CA}"
    if not config.local_domains:
        return
    yield "mailboxes:"
    yield "  driver = appendfile"
    yield f"  directory = {places.mailboxes}/$address_data"
    yield "  maildir_format"
    yield "  create_directory"
    yield "  directory_mode = 0700"
    yield "  mode = 0600"
    yield "  return_path_add"
    yield rf"  message_prefix = Delivered-To: {_WHOLE}\n"
    yield "  message_suffix ="


# --- when to try again ----------------------------------------------------------------------------


class _Rule(Struct, frozen=True):
    """Until the age `cutoff`, in lab seconds: wait `first`, each time longer by `factor`."""

    cutoff: float
    first: float
    factor: float = 1.0


def _quadratic(step: float, lifetime: float) -> tuple[_Rule, ...]:
    """Attempts at the ages step x n²: a rule for each n, as Exim knows no such growth."""
    rules, age, n = [], 0.0, 1
    while age < lifetime:
        wait = step * n**2 - age
        rules.append(_Rule(age + wait / 2, wait))
        age, n = age + wait, n + 1
    return tuple(rules)


_FOREVER = math.inf
RULES: Mapping[str, tuple[_Rule, ...]] = {
    "workshop": (_Rule(64.0, 2.0, 1.5), _Rule(_FOREVER, 30.0)),
    "postfix": (_Rule(4000.0, 300.0, 2.0), _Rule(_FOREVER, 4000.0)),
    "exim": (
        _Rule(2 * HOUR, 15 * MINUTE),
        _Rule(16 * HOUR, HOUR, 1.5),
        _Rule(_FOREVER, 6 * HOUR),
    ),
    "opensmtpd": _quadratic(400.0, 20 * DAY),
    "chasquid": (
        _Rule(MINUTE, MINUTE),
        _Rule(5 * MINUTE, 5 * MINUTE),
        _Rule(10 * MINUTE, 10 * MINUTE),
        _Rule(_FOREVER, 20 * MINUTE),
    ),
    "rfc": (_Rule(HOUR, 30 * MINUTE), _Rule(_FOREVER, 2 * HOUR)),
}
"""Each schedule of `queue.retry` as Exim's rules, the last of them without its end."""


def _rules(retry: RetryConfig) -> list[_Rule]:
    """The rules of the schedule as far as its lifetime goes, which ends the last one."""
    lifetime = schedule_of(retry).lifetime
    rules = RULES[retry.schedule]
    began = [rules[0], *(later for rule, later in pairwise(rules) if rule.cutoff < lifetime)]
    last = began[-1]
    return [*began[:-1], _Rule(lifetime, last.first, last.factor)]


def _retry(retry: RetryConfig, scale: float) -> str:
    """Exim counts in whole real seconds: no wait and no age is shorter than one."""
    words = []
    for rule in _rules(retry):
        cutoff, first = (_at_least_1(seconds / scale) for seconds in (rule.cutoff, rule.first))
        grows = rule.factor != 1.0
        words.append(f"G,{cutoff},{first},{rule.factor:g}" if grows else f"F,{cutoff},{first}")
    return "; ".join(words)


def _warning(seconds: float) -> str:
    """One warning, and a second after what no queue lasts."""
    return f"{_at_least_1(seconds)}:520w" if seconds else "0s"


def _at_least_1(seconds: float) -> str:
    return f"{max(1, math.ceil(seconds - 1e-9))}s"


# --- how Exim writes values -----------------------------------------------------------------------


def _name(name: str) -> str:
    """A host or domain name, or a literal. Raises ConfigError for what could mean more to Exim."""
    if not _NAME.fullmatch(name.lower()):
        raise ConfigError(f"configuration: {name[:80]!r} is no name that Exim can be told")
    return name


def _list(items: Iterable[str]) -> str:
    """A list with semicolons between, as addresses of IPv6 have colons."""
    return f"<; {' ; '.join(items)}".rstrip()


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{_key(key)}: {value}\n" for key, value in rows)


def _key(key: str) -> str:
    """A key of a table in quotes, in which a backslash makes a character itself."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
