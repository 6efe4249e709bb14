"""Assembles a node of the role `dns`: zones, copies of zones, the server, and who is told."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mxlab_services.config import DnsConfig
from mxlab_services.control.replies import Pong
from mxlab_services.control.requests import Ping
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.faults import DnsFaults
from mxlab_services.dns.names import Name, fold, parse_name
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from mxlab_services.errors import ConfigError, ZoneError
from mxlab_services.events import NodeReady
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.ip import joined
from mxlab_services.roles.settings import answer_fixed
from mxlab_services.runtime import Parts, randomness

if TYPE_CHECKING:  # most servers are the only one
    from mxlab_services.dns.query import Source
    from mxlab_services.dns.secondary import Secondary

FIRST_COPIES = 2.0  # real seconds that a start waits for the copies of zones from elsewhere


async def start_dns(
    config: DnsConfig, parts: Parts, controls: Controls
) -> Callable[[], Awaitable[None]]:
    """Serve the configured zones and answer requests about them; returns how to shut down.

    Raises ConfigError for a zone that is none, and OSError when the port cannot be bound.
    """
    async with contextlib.AsyncExitStack() as stack:
        zones = Zones()
        for origin, text in config.zones.items():
            try:
                zones.replace(origin, text)
            except ZoneError as error:
                raise ConfigError(f"configuration: zone {origin}: {error}") from error
        secondaries = _by_name(config.secondaries)
        copies = _copies(config, parts, zones)
        injector = NodeInjector(parts.emit, lambda fault: randomness(config, f"fault/{fault}"))
        faults = DnsFaults(injector, zones)
        server = DnsServer(zones, parts.emit, faults=faults, secondaries=secondaries, copies=copies)

        async def pong(_: Ping) -> Pong:
            return Pong(config.node, "dns", parts.clock.time(), 0)

        controls.add(Ping, pong)
        server.controls(controls)
        answer_fixed(config, controls)
        injector.answer(controls, faults)
        await server.start(config.binds, config.port)
        stack.push_async_callback(server.close)
        await _start_copies(copies, stack)
        if secondaries:
            from mxlab_services.dns.notify import Notifier

            notifier = Notifier(
                zones, secondaries, config.port, randomness(config, "notify"), _source(config),
                parts.emit,
            )  # fmt: skip
            stack.push_async_callback(notifier.close)
            notifier.start()
        places = [joined(address, config.port) for address in config.binds]
        listening = [f"{kind}:{at}" for at in places for kind in ("udp", "tcp")]
        parts.emit(NodeReady("dns", listening, addresses=list(config.addresses)))
        return stack.pop_all().aclose


def _by_name(servers: dict[str, list[str]]) -> dict[Name, tuple[str, ...]]:
    try:
        return {fold(parse_name(origin)): tuple(given) for origin, given in servers.items()}
    except ZoneError as error:
        raise ConfigError(f"configuration: {error}") from error


def _copies(config: DnsConfig, parts: Parts, zones: Zones) -> "list[Secondary]":
    """The zones that are taken from elsewhere."""
    if not config.primaries:
        return []
    from mxlab_services.dns.secondary import Secondary

    return [
        Secondary(
            origin, primaries, config.port, zones, parts.clock,
            randomness(config, f"secondary/{origin!r}"), _source(config), parts.emit,
        )
        for origin, primaries in _by_name(config.primaries).items()
    ]  # fmt: skip


def _source(config: DnsConfig) -> "Source":
    """This server's own address, for its peers to know it by: local processes share one host."""
    return None if ipaddress.ip_address(config.address).is_unspecified else (config.address, 0)


async def _start_copies(copies: "list[Secondary]", stack: contextlib.AsyncExitStack) -> None:
    """Take the zones from their primaries; go on without those that do not answer soon."""
    if not copies:
        return
    for copy in copies:
        task = asyncio.create_task(copy.run())
        stack.push_async_callback(_ended, task)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_COPIES):
            for copy in copies:
                await copy.loaded.wait()


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
