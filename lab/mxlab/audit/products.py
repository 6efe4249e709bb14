"""What a mail host does, in the lab's words, with what its product is told in its own words. Pure.

`product_settings` go before what is made of the lab's configuration, so they are read here as the
product would.
"""

import re

from msgspec.structs import replace

from mxlab.audit.setup import SeenHost
from mxlab_services.domain import fold_domain
from mxlab_services.queue.retry import Schedule, schedule_of

LIFETIME = "maximal_queue_lifetime"
WARNING = "delay_warning_time"
SIZE = "message_size_limit"  # Exim's too
RECIPIENTS = "relay_recipient_maps"
_OWN = {  # the lab's keys -> the products'
    "retry.lifetime": LIFETIME, "retry.warning": WARNING, "limits.message_size": SIZE,
    "recipients": RECIPIENTS,
}  # fmt: skip
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"(\d+)([smhdw]?)", re.ASCII)


def schedule_at(host: SeenHost) -> Schedule:
    """When the host tries again, for how long, and when it warns."""
    schedule = schedule_of(host.config.retry)
    told, scale = host.config.product_settings, host.config.time.scale
    if (lifetime := _seconds(told.get(LIFETIME), "d")) is not None:
        schedule = replace(schedule, lifetime=lifetime * scale)
    if (warning := _seconds(told.get(WARNING), "h")) is not None:
        schedule = replace(schedule, warning=warning * scale)
    return schedule


def told_by(host: SeenHost, key: str) -> str:
    """The key of the setting that decides: the product's own goes before the lab's."""
    own = _OWN.get(key, "")
    return f"product_settings.{own}" if own in host.config.product_settings else key


def never_tries_again(host: SeenHost) -> bool:
    """Whether it gives mail up at the first failure: Exim without a retry rule."""
    retry = host.config.product_settings.get("retry")
    return host.config.software == "exim" and retry is not None and not retry.strip()


def message_size(host: SeenHost) -> int | None:
    """The largest message that it takes, in bytes; None: there is no limit."""
    told = host.config.product_settings.get(SIZE, "")
    return int(told) or None if told.isdecimal() else host.config.limits.message_size


def local_domains(host: SeenHost) -> set[str]:
    """The domains whose mailboxes it has."""
    told = host.config.product_settings if host.config.software == "postfix" else {}
    found = {fold_domain(one) for one in host.config.local_domains}
    if (own := told.get("virtual_mailbox_domains")) is not None:
        found = set(_words(own))
    return found | set(_words(told.get("mydestination", "")))


def relay_domains(host: SeenHost) -> set[str]:
    """The domains for which it hands mail on."""
    told = host.config.product_settings.get("relay_domains")
    if host.config.software == "postfix" and told is not None:
        return set(_words(told))
    return {fold_domain(one) for one in host.config.relay_domains}


def takes_any_recipient(host: SeenHost, domain: str) -> bool:
    """Whether it takes mail for any address of a domain that it relays for."""
    if host.config.software == "postfix":
        told = host.config.product_settings.get(RECIPIENTS)
        if told is not None:
            return not told.strip()
    return host.config.recipients is None or domain in map(fold_domain, host.config.open_domains)


def relays_for(host: SeenHost) -> list[str]:
    """The networks whose mail it takes to anywhere; `everybody` where nothing keeps others out."""
    told = host.config.product_settings
    found = list(host.config.submission_networks)
    if host.config.software == "postfix":
        found = _words(told["mynetworks"]) if "mynetworks" in told else found
        rules = told.get("smtpd_relay_restrictions")
        if rules is not None and not re.search(r"reject|defer", rules):
            found.append("everybody")
        if "permit" in _words(rules or ""):
            found.append("everybody")
    if host.config.software == "exim" and "hostlist submitters" in told:
        found = told["hostlist submitters"].replace(":", " ").split()
    return ["everybody" if one == "*" else one for one in found]


def knows_postmaster(host: SeenHost) -> bool:
    """Whether nothing that its product was told of recipients leaves postmaster out."""
    told = host.config.product_settings
    tables = (RECIPIENTS, "virtual_mailbox_maps", "local_recipient_maps")
    given = [told[name] for name in tables if told.get(name, "").startswith("inline:")]
    return host.config.software != "postfix" or not given or "postmaster" in " ".join(given)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _seconds(text: str | None, unit: str) -> float | None:
    match = _TIME.fullmatch((text or "").strip())
    return None if match is None else float(int(match[1]) * _UNITS[match[2] or unit])
