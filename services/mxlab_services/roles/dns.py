"""Assembles the node of the role `dns`."""

from collections.abc import Awaitable, Callable

from mxlab_services.config import DnsConfig
from mxlab_services.control.replies import Pong
from mxlab_services.control.requests import Ping
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.faults import DnsFaults
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zone import Zones
from mxlab_services.errors import ConfigError, ZoneError
from mxlab_services.events import NodeReady
from mxlab_services.faults.injector import Board
from mxlab_services.runtime import Parts, randomness


async def start_dns(
    config: DnsConfig, parts: Parts, controls: Controls
) -> Callable[[], Awaitable[None]]:
    """Serve the configured zones and answer requests about them; answers how to shut down.

    Raises ConfigError for a zone that is none, and OSError when the port cannot be bound.
    """
    zones = Zones()
    for origin, text in config.zones.items():
        try:
            zones.replace(origin, text)
        except ZoneError as error:
            raise ConfigError(f"configuration: zone {origin}: {error}") from error
    board = Board(parts.emit, lambda fault: randomness(config, f"fault/{fault}"))
    faults = DnsFaults(board, zones)
    server = DnsServer(zones, parts.emit, faults=faults)

    async def pong(_: Ping) -> Pong:
        return Pong(config.node, "dns", parts.clock.time(), 0)

    controls.add(Ping, pong)
    server.controls(controls)
    board.answer(controls, faults)
    await server.start(config.bind, config.port)
    parts.emit(
        NodeReady("dns", [f"udp:{config.bind}:{config.port}", f"tcp:{config.bind}:{config.port}"])
    )
    return server.close
