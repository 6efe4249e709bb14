"""A node's place on its lab's network: taken away, given back with its address, and seen.

The network that publishes ports, where there is one, is left alone: it leads nowhere else.
"""

from collections.abc import Callable
from typing import Any

from docker import APIClient

from mxlab.backends.docker.engine import Engine
from mxlab.backends.docker.shape import LAB, ROLE
from mxlab.errors import EnvironmentProblem


async def is_connected(engine: Engine, lab: str, container: str) -> bool:
    """Whether the container is on the lab's network."""
    network = await _network(engine, lab)
    found = await engine.call("inspect a node", lambda api: api.inspect_container(container))
    there = found["NetworkSettings"]["Networks"].values()
    return any(endpoint["NetworkID"] == network for endpoint in there)


async def disconnect(engine: Engine, lab: str, container: str) -> None:
    """Take it off; nothing where it is off."""
    if await is_connected(engine, lab, container):
        network = await _network(engine, lab)
        await engine.call("disconnect a node", _leave(container, network))


async def reconnect(engine: Engine, lab: str, container: str, addresses: dict[str, str]) -> None:
    """Put it back with its addresses (see `shape.endpoint`): without, the engine would choose
    others."""
    if not await is_connected(engine, lab, container):
        network = await _network(engine, lab)
        await engine.call("connect a node", _join(container, network, addresses))


def _leave(container: str, network: str) -> Callable[[APIClient], Any]:
    return lambda api: api.disconnect_container_from_network(container, network)


def _join(container: str, network: str, addresses: dict[str, str]) -> Callable[[Any], Any]:
    return lambda api: api.connect_container_to_network(container, network, **addresses)


async def _network(engine: Engine, lab: str) -> str:
    wanted = {"label": [f"{LAB}={lab}", f"{ROLE}=lab"]}
    found = await engine.call("list networks", lambda api: api.networks(filters=wanted))
    if not found:
        raise EnvironmentProblem(f"the network of the lab {lab!r} is gone", f"`mxlab down {lab}`")
    return str(found[0]["Id"])
