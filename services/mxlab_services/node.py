"""Puts a node together from its configuration and its parts. The same in every world.

What differs between worlds comes in as `Parts`: the clock, where events go and where data is kept.
The network is the running asyncio loop; randomness comes from the configuration's seed.
"""

from mxlab_services.config import AnyConfig, DnsConfig, PeerConfig
from mxlab_services.control.rpc import Controls
from mxlab_services.runtime import Counting, Parts, RunningNode


async def start_node(
    config: AnyConfig, parts: Parts, controls: Controls | None = None
) -> RunningNode:
    """Start the node: storage opened, damage told, sockets bound, and `node.ready` last of all.

    Its requests are answered by `controls`, or by new ones. Raises ConfigError,
    SpoolError, NodeBroken, or OSError when an address cannot be bound; then nothing is left open.
    """
    emit, controls = Counting(parts.emit), controls or Controls()
    parts = Parts(parts.clock, emit, parts.storage)
    if isinstance(config, DnsConfig):  # a DNS node need not load an MTA, nor the other way round
        from mxlab_services.roles.dns import start_dns

        return RunningNode(controls, emit, await start_dns(config, parts, controls))
    if isinstance(config, PeerConfig):
        from mxlab_services.roles.peer import start_peer

        return RunningNode(controls, emit, await start_peer(config, parts, controls))
    if config.software != "mxlab":
        from mxlab_services.products.agent import start_agent

        agent = await start_agent(config, parts, emit, controls)
        return RunningNode(controls, emit, agent.close, agent.failure)
    from mxlab_services.roles.mta import start_mta

    return RunningNode(controls, emit, await start_mta(config, parts, controls, emit))
