"""Assembles a node of the role `peer`: a scripted SMTP server, and who asks what it was told."""

from collections.abc import Awaitable, Callable

from mxlab_services.config import PeerConfig
from mxlab_services.control.peers import PeerEvent, PeerRead, PeerScript
from mxlab_services.control.replies import Pong
from mxlab_services.control.requests import Ping
from mxlab_services.control.rpc import Controls
from mxlab_services.events import NodeReady
from mxlab_services.ip import joined
from mxlab_services.roles.scripted import ScriptedServer
from mxlab_services.roles.settings import answer_fixed
from mxlab_services.runtime import Parts


async def start_peer(
    config: PeerConfig, parts: Parts, controls: Controls
) -> Callable[[], Awaitable[None]]:
    """Serve, and answer for it; returns how to shut down. Raises OSError."""
    server = ScriptedServer(config.hostname, parts.clock)

    async def pong(_: Ping) -> Pong:
        return Pong(config.node, "peer", parts.clock.time(), 0)

    async def script(request: PeerScript) -> bool:
        await server.follow(request)
        return True

    async def read(request: PeerRead) -> list[PeerEvent]:
        return await server.since(request.after, request.wait)

    controls.add(Ping, pong)
    controls.add(PeerScript, script)
    controls.add(PeerRead, read)
    answer_fixed(config, controls)
    try:
        await server.listen(config.binds, config.smtp_port)
    except OSError:
        await server.close()
        raise
    places = [f"tcp:{joined(address, config.smtp_port)}" for address in config.binds]
    parts.emit(NodeReady("peer", places, addresses=list(config.addresses)))
    return server.close
