"""A lab that is up, in figures: what it is, how its nodes are."""

import asyncio
from collections.abc import Mapping

import msgspec

from mxlab.backends.base import CanPublish, HasImap, ImapServer, Lab, Node, State
from mxlab.errors import LabError
from mxlab.model.software import OURS
from mxlab.model.topology import Topology
from mxlab_services.control.requests import Ping


class PlaceView(msgspec.Struct, frozen=True):
    """What an exchange is in one domain: `role` as `primary MX 10`."""

    domain: str
    role: str


class NodeView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node now. `queued`: messages in its queue, None where it has none or cannot be asked;
    `published`: service -> address:port on this machine; `problem`: why it could not be asked."""

    node: str
    role: str
    address: str
    state: State
    queued: int | None
    software: str = ""
    domains: list[PlaceView] = []
    smarthost: str = ""
    problem: str = ""
    submits: list[str] = []
    published: dict[str, str] | None = None


class ImapView(msgspec.Struct, frozen=True, rename={"primary": "for"}):
    """A server of IMAP and POP3 beside the nodes, which shows the mailboxes of `primary`."""

    node: str
    role: str
    primary: str
    address: str
    state: State
    published: dict[str, str]


class LabView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lab now. `lab_time`: seconds since the Unix epoch, as the nodes have it."""

    lab: str
    backend: str
    run: str
    domain: str
    lab_time: float
    nodes: list[NodeView]
    imap: list[ImapView] = []


async def describe(lab: Lab) -> LabView:
    """All that is said of a lab that is up."""
    beside = lab.imap.values() if isinstance(lab, HasImap) else ()
    return LabView(
        lab=lab.name,
        backend=lab.backend,
        run=lab.run,
        domain=lab.topology.domain,
        lab_time=lab.clock.time(),
        nodes=await asyncio.gather(*(_node(lab, node) for node in lab.nodes.values())),
        imap=await asyncio.gather(*map(_imap, beside)),
    )


async def _imap(server: ImapServer) -> ImapView:
    return ImapView(
        node=server.name,
        role=f"IMAP of {server.primary}",
        primary=server.primary,
        address=server.address,
        state=await server.state(),
        published=_places(await server.published()),
    )


def _places(published: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    return {service: f"{address}:{port}" for service, (address, port) in published.items()}


async def _node(lab: Lab, node: Node) -> NodeView:
    config, topology = node.config, lab.topology
    state = await node.state()
    software = topology.software.get(config.node, OURS)
    shown: str = "" if software == OURS else software
    queued, problem = None, ""
    if state == "running":
        try:
            pong = await node.request(Ping())
            shown = pong.software or shown
            queued = None if pong.role == "dns" else pong.queued
        except LabError as error:
            problem = str(error)
    submitters = topology.submission if config.node == topology.client else None
    return NodeView(
        node=config.node,
        role=_role(topology, config.node),
        address=config.address,
        state=state,
        queued=queued,
        software=shown,
        domains=_domains(topology, config.node) if topology.domains else [],
        smarthost=topology.smarthost_of(config.node) or "",
        problem=problem,
        submits=sorted(submitters.users) if submitters else [],
        published=_places(await node.published()) if isinstance(node, CanPublish) else None,
    )


def _role(topology: Topology, node: str) -> str:
    if node in topology.dns_hosts:
        return "dns"
    if node in topology.sender_domains:
        return "client"
    places = _domains(topology, node)
    return places[0].role if places else "relay"


def _domains(topology: Topology, node: str) -> list[PlaceView]:
    """What an exchange is in each of its domains, the lab's first domain first."""
    return [
        PlaceView(
            domain.domain,
            f"{'primary' if node in domain.primaries else 'backup'} MX {e.preference}",
        )
        for domain in topology.mail_domains
        for e in domain.mx
        if e.host == node
    ]
