"""When Exim tries again: its hints databases, as its own `exim_dumpdb` writes them out. Pure.

Source: Exim's specification, "Retry configuration" and "Other utilities". A record is of a host
(`T:name:address`), of one message at a host (the same, and its id), or of an address or a domain
(`R:...`). What is due is tried by the first queue run after that.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from mxlab_services.address import canonical, domain_of
from mxlab_services.products.base import Held

RETRY, WAITING = "retry", "wait-smtp"  # the databases, the second one of the transport `smtp`

_TIME = r"\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d"
_RECORD = re.compile(
    rf"^  (\S+) -?\d+ -?\d+ .*?\n{_TIME}  {_TIME}  ({_TIME}) ", re.MULTILINE | re.DOTALL | re.ASCII
)
_MESSAGE = re.compile(r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}")
_OF_MESSAGE = re.compile(rf":{_MESSAGE.pattern}$")


def due_by_key(dumped: str) -> dict[str, float]:
    """Each record of `retry`: its key -> when it allows the next try (Unix time). The tool writes
    the time of its zone, which is to be UTC."""
    return {
        key.lower(): datetime.strptime(time, "%d-%b-%Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
        for key, time in _RECORD.findall(dumped)
    }


def hosts_by_message(dumped: str) -> dict[str, set[str]]:
    """Each message of `wait-smtp`: its id -> the hosts for which it waits."""
    found: dict[str, set[str]] = {}
    for line in dumped.splitlines():
        host, _, rest = line.partition(" ")
        name = re.sub(r":\d+$", "", host).lower()  # a long list is in several records
        for queue_id in _MESSAGE.findall(rest):
            found.setdefault(queue_id, set()).add(name)
    return found


def next_attempt(held: Held, due: Mapping[str, float], hosts: Iterable[str]) -> float | None:
    """When the message is due: that of its recipients that is due first. None where nothing is on
    record, as of a host that may be tried at any time. `hosts`: for which it waits."""
    by_hosts = _of_hosts(held.queue_id, due, sorted(hosts))
    found = []
    for recipient in held.reasons:
        own = _of_address(canonical(recipient), held.sender, due)
        if told := [one for one in (own, by_hosts) if one is not None]:
            found.append(max(told))
    return min(found, default=None)


def _of_hosts(queue_id: str, due: Mapping[str, float], hosts: Sequence[str]) -> float | None:
    """When the first of the hosts may be tried with this message."""
    end = f":{queue_id.lower()}"
    free: list[float] = []
    for host in hosts:
        records = {key: at for key, at in due.items() if key.startswith(f"t:{host}:")}
        # Of its addresses the first that is due will do, but not before this message is, too.
        of_host = [at for key, at in records.items() if not _OF_MESSAGE.search(key)]
        of_message = [at for key, at in records.items() if key.endswith(end)]
        told = [min(one) for one in (of_host, of_message) if one]
        if not told:
            return None
        free.append(max(told))
    return min(free, default=None)


def _of_address(recipient: str, sender: str, due: Mapping[str, float]) -> float | None:
    """When the recipient may be tried, as far as that is not a host's to say."""
    names = (recipient, f"{recipient}:<{sender}>", domain_of(recipient))
    keys = (f"{kind}:{name}".lower() for name in names for kind in "rt")
    return max((due[key] for key in keys if key in due), default=None)
