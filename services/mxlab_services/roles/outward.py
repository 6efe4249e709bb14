"""What an MTA has to reach others: its resolver, its routes, its relay, and what is asked of these.

Each is made, and loaded, at its first use.
"""

from typing import TYPE_CHECKING

from mxlab_services.clock import Clock
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import EtrnReport, RouteReport
from mxlab_services.control.requests import Dig, Etrn, RouteRead
from mxlab_services.control.rpc import Controls
from mxlab_services.domain import DomainError, to_ascii
from mxlab_services.errors import ControlError
from mxlab_services.events import Emit, EtrnSent
from mxlab_services.faults.injector import INVALID
from mxlab_services.queue.live import LiveConfig
from mxlab_services.relay import routing
from mxlab_services.reply import Reply
from mxlab_services.roles.late import LateRelay, LateResolver
from mxlab_services.runtime import Journal, randomness
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.server.policy import local_domains

if TYPE_CHECKING:
    from mxlab_services.dns.lookup import CachingResolver
    from mxlab_services.relay.relay import SmtpRelay


class Outward:
    """The way out of one MTA."""

    def __init__(self, live: LiveConfig, journal: Journal | None, clock: Clock, emit: Emit) -> None:
        config = live.config
        self._emit = emit
        self._local = local_domains(config)
        self.resolver = LateResolver(lambda: _resolver(config, clock, emit))
        self.router = routing.MxRouter.of(
            config, self.resolver, randomness(config, "routing"), emit
        )
        self.relay = LateRelay(lambda: _relay(live, journal, emit))

    def answer(self, controls: Controls) -> None:
        """Answer the requests about it."""
        controls.add(RouteRead, self._route)
        controls.add(Dig, self.resolver.dig)
        controls.add(Etrn, self._etrn)

    async def _route(self, request: RouteRead) -> RouteReport:
        return await routing.report(self.router, request.address, self._local.__contains__)

    async def _etrn(self, request: Etrn) -> EtrnReport:
        found = await self.resolver.addresses(request.host)
        reply = Reply(0, "", f"no address of {request.host}: {found.status}")
        try:
            domain = to_ascii(request.domain)
        except DomainError as error:
            raise ControlError(str(error), INVALID) from error
        dialog, address = Dialog(), ""
        for address in found.addresses:
            reply = await self.relay.etrn(request.host, address, domain, dialog)
            if reply.code:
                break
        self._emit(
            EtrnSent(
                request.host,
                domain,
                str(reply),
                list(dialog),
                address,
                dialog.times[:],
                dialog.connections[:],
            )
        )
        return EtrnReport(reply.code, str(reply), list(dialog))


def _resolver(config: MtaConfig, clock: Clock, emit: Emit) -> "CachingResolver":
    rng = randomness(config, "dns")
    if config.roots:
        from mxlab_services.dns.iterative import IterativeResolver

        return IterativeResolver(
            config.roots, config.dns_port, clock, rng, emit, config.networks,
            sources=config.addresses,
        )  # fmt: skip
    from mxlab_services.dns.resolver import StubResolver

    return StubResolver(
        (config.dns, config.dns_port), clock, rng, emit, networks=config.networks,
        sources=config.addresses,
    )  # fmt: skip


def _relay(live: LiveConfig, journal: Journal | None, emit: Emit) -> "SmtpRelay":
    from mxlab_services.relay.relay import SmtpRelay

    return SmtpRelay(live, journal, emit)
