"""How one host of a lab asks another by SMTP to send what waits for it (RFC 1985)."""

from mxlab.backends.base import Lab
from mxlab.errors import UsageError
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import EtrnReport
from mxlab_services.control.requests import Etrn


async def ask_to_send(lab: Lab, host: str, asks: str, domain: str | None = None) -> EtrnReport:
    """`host` asks `asks` to start its queue for `domain`, the lab's unless given.

    Raises NodeUnreachable where `host` does not run, UsageError where `asks` has no queue.
    """
    config = lab.nodes[asks].config
    if not isinstance(config, MtaConfig):
        raise UsageError(f"{asks} has no queue", "ask a mail exchanger, or the client")
    return await lab.nodes[host].request(Etrn(config.hostname, domain or lab.topology.domain))
