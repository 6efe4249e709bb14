"""Puts faults in force before a product, and out again; says of each that cannot be why.

Guarantee: as `mta_faults` has it: after `end` all is as the faults that are still set want it.
"""

import ssl

from mxlab_services.clock import Clock
from mxlab_services.config import MtaConfig
from mxlab_services.errors import ControlError
from mxlab_services.faults.injector import INVALID, ActiveFault
from mxlab_services.faults.kinds import (
    NO_PRODUCTS,
    AnyFault,
    Greylist,
    Refuse,
    TlsBroken,
    misplaced,
)
from mxlab_services.products.proxy import Proxy
from mxlab_services.smtp.server.faults import Greybook
from mxlab_services.smtp.server.listener import server_context
from mxlab_services.smtp.server.policy import local_domains


class ProductFaults:
    """The effects on one product, all of them the proxy's."""

    def __init__(self, config: MtaConfig, proxy: Proxy, clock: Clock) -> None:
        self._config = config
        self._proxy = proxy
        self._faults = proxy.faults
        self._clock = clock

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a fault that this product cannot have."""
        config = self._config
        wrong = misplaced(fault, config.node, local_domains(config), tls=config.tls is not None)
        if wrong:
            raise ControlError(wrong, INVALID)
        if (why := NO_PRODUCTS.get(type(fault))) is not None:
            text = f"{config.software} on {config.node} cannot have {fault.kind}: {why}"
            raise ControlError(text)

    async def begin(self, active: ActiveFault[AnyFault]) -> None:
        """Put it in force. Raises ControlError."""
        match active.fault:
            case Refuse():
                self._proxy.refuse()
            case Greylist():
                self._faults.greybooks[active.id] = Greybook(self._clock)
            case TlsBroken() if active.pem is not None:
                try:
                    context = server_context(*active.pem)
                except ssl.SSLError as error:
                    text = f"fault {active.id!r}: no usable certificate and key: {error}"
                    raise ControlError(text, INVALID) from error
                self._faults.certificates[active.id] = context

    async def end(self, active: ActiveFault[AnyFault]) -> None:
        """Take it back. Raises ControlError where the port is taken meanwhile."""
        match active.fault:
            case Refuse():
                await self._listen()
            case Greylist():
                self._faults.greybooks.pop(active.id, None)
            case TlsBroken():
                self._faults.certificates.pop(active.id, None)

    async def _listen(self) -> None:
        if self._faults.injector.of(Refuse):
            return
        try:
            await self._proxy.start()
        except OSError as error:
            raise ControlError(f"cannot listen again: {error}") from error
