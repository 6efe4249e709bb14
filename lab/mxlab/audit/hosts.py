"""The judges of every mail host: whom it serves, how it is known, whether its queue rests. Pure."""

import ipaddress
from collections.abc import Iterator

from mxlab.audit.exchanges import ONLY_NAMES
from mxlab.audit.judging import Flaw, Seen, Sound, Unseen, judges
from mxlab.audit.products import knows_postmaster, relays_for
from mxlab.audit.setup import AuditSetup, SeenHost
from mxlab.model.duration import format_duration
from mxlab_services.config import MxConfig
from mxlab_services.domain import fold_domain
from mxlab_services.faults.kinds import DiskFull, TlsBroken

OLD = 3600.0  # seconds in a queue after which somebody should look


def _exchanges(setup: AuditSetup) -> Iterator[SeenHost]:
    """The hosts that are exchanges, or relays."""
    yield from (host for host in setup.hosts if isinstance(host.config, MxConfig))


@judges("no-open-relay")
def no_open_relay(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
    for host in _exchanges(setup):
        wide = [network for network in relays_for(host) if _is_wide(network, host)]
        if wide:
            text = f"{host.name} takes mail to anywhere from {', '.join(wide)}"
            yield Flaw(host.place("product_settings"), text)
        else:
            yield Sound(f"{host.name} takes mail for its own domains, or from whom it is there for")


def _is_wide(network: str, host: SeenHost) -> bool:
    """Whether strangers are in a network: it is everybody, or all of the lab's."""
    if network == "everybody":
        return True
    try:
        given = ipaddress.ip_network(network.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False  # a table, or a name
    lab = [ipaddress.ip_network(one) for one in host.config.networks]
    return given.prefixlen == 0 or any(
        one.version == given.version
        and one.network_address in given
        and one.prefixlen >= given.prefixlen
        for one in lab
    )


@judges("postmaster-answers")
def postmaster(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
    for host in _exchanges(setup):
        if knows_postmaster(host):
            yield Sound(f"{host.name} takes mail for postmaster")
        else:
            text = f"the recipients that {host.name} was told of leave postmaster out"
            yield Flaw(host.place("product_settings"), text)


@judges("certificate-names-host")
def certificate_names_host(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
        return
    for host in _exchanges(setup):
        if host.config.tls is None:
            yield Unseen(f"{host.name} offers no TLS")
            continue
        broken = [fault for fault in host.faults or () if isinstance(fault, TlsBroken)]
        if broken:
            yield Flaw(f"{host.name}: tls", f"{host.name}: {_said(broken[0])}")
            continue
        names = certified(host.config.tls.certificate)
        if fold_domain(host.config.hostname) in names:
            yield Sound(f"the certificate of {host.name} is for {host.config.hostname}")
        else:
            text = f"the certificate of {host.name} is for {', '.join(names) or 'nobody'}"
            yield Flaw(host.place("tls"), f"{text}, not for {host.config.hostname}")


def _said(fault: TlsBroken) -> str:
    return {
        "expired": "its certificate has expired",
        "wrong-name": "its certificate is for another name",
        "handshake-cut": "the handshake is cut on its way",
    }[fault.how]


def certified(pem: str) -> list[str]:
    """The DNS names that a certificate is for."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [fold_domain(name) for name in found.value.get_values_for_type(x509.DNSName)]


@judges("queue-watched")
def queue_watched(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source != "lab":
        yield Unseen("only a running lab has a queue")
        return
    for host in _exchanges(setup):
        if host.faults is None:
            yield Unseen(f"the queue of {host.name}")
        elif any(isinstance(fault, DiskFull) for fault in host.faults):
            yield Flaw(f"{host.name}: its disk", f"the disk of {host.name} is full")
        elif host.oldest is None or host.oldest < OLD:
            yield Sound(f"nothing has waited for long at {host.name}")
        else:
            text = f"mail has waited at {host.name} for {format_duration(round(host.oldest))}"
            yield Flaw(f"{host.name}: its queue", text)
