"""Nodes by name, and one question to many of them."""

import asyncio
from typing import Any, TypeVar

from mxlab.backends.base import CanPause, ImapServer, Lab, Node, State
from mxlab.errors import LabError, UnknownName, Unsupported, UsageError
from mxlab_services.config import MtaConfig

N = TypeVar("N")


def node_called(lab: Lab, name: str) -> Node:
    """Raises UnknownName."""
    try:
        return lab.nodes[name]
    except KeyError:
        raise UnknownName("node", name, lab.nodes) from None


def sender_called(lab: Lab, name: str | None) -> Node:
    """The client of that name, or the first. Raises UnknownName."""
    if name is not None and name not in lab.topology.sender_domains:
        raise UnknownName("client", name, lab.topology.sender_domains)
    return node_called(lab, name or lab.topology.client)


def mtas(lab: Lab, names: list[str]) -> list[Node]:
    """These nodes, or all that have a queue. Raises UnknownName, UsageError for a DNS server."""
    chosen = [node_called(lab, name) for name in names] or list(lab.nodes.values())
    having = [node for node in chosen if isinstance(node.config, MtaConfig)]
    if names and len(having) < len(chosen):
        wrong = next(n for n in chosen if not isinstance(n.config, MtaConfig))
        raise UsageError(
            f"{wrong.config.node} is no MTA",
            "MTAs: " + ", ".join(node.config.node for node in mtas(lab, [])),
        )
    return having


async def each(
    nodes: list[N], asked: bool, question: Any
) -> tuple[list[tuple[N, Any]], list[LabError]]:
    """Put a question (node -> reply) to all nodes at once.

    Where nodes were `asked` for by name, the first problem is raised; else problems are answered.
    """
    answers = await asyncio.gather(*(question(node) for node in nodes), return_exceptions=True)
    good: list[tuple[N, Any]] = []
    problems: list[LabError] = []
    for node, answer in zip(nodes, answers, strict=True):
        if isinstance(answer, LabError) and not asked:
            problems.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            good.append((node, answer))
    return good, problems


async def act(verb: str, name: str, node: Node | ImapServer) -> State:
    """Start, stop, kill, pause or resume it; returns its state when it is so. Raises Unsupported
    for one that cannot be paused."""
    match verb:
        case "stop":
            await node.stop()
        case "start":
            await node.start()
        case "kill":
            await node.kill()
        case _:
            if not isinstance(node, CanPause):
                raise Unsupported(f"{name} cannot be paused")
            await (node.pause() if verb == "pause" else node.resume())
    return await node.state()
