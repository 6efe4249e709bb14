"""SMTP and DNS as a client, made and loaded at their first use.

A node that only takes mail in never needs what they stand on (aiosmtplib, dnslib), and the nodes of
a lab all start at once: what one of them loads, the others wait for.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mxlab_services.control.replies import DigReport
from mxlab_services.control.requests import Dig
from mxlab_services.dns.answers import Answer
from mxlab_services.queue.ports import Job, Result, Route
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.dialog import Dialog

if TYPE_CHECKING:
    from mxlab_services.dns.lookup import CachingResolver
    from mxlab_services.relay.relay import SmtpRelay


class LateRelay:
    """The SmtpRelay that `make` makes."""

    def __init__(self, make: Callable[[], "SmtpRelay"]) -> None:
        self._make = make

    @cached_property
    def _relay(self) -> "SmtpRelay":
        return self._make()

    @property
    def _is_made(self) -> bool:
        return "_relay" in self.__dict__

    def load(self) -> None:
        """Make it now. Raises what `make` does (ConfigError)."""
        self._relay  # noqa: B018 - a cached property

    async def deliver(self, route: Route, job: Job) -> Mapping[str, Result]:
        return await self._relay.deliver(route, job)

    async def etrn(self, host: str, address: str, domain: str, dialog: Dialog) -> Reply:
        return await self._relay.etrn(host, address, domain, dialog)

    def forget(self) -> None:
        if self._is_made:
            self._relay.forget()

    def renew(self) -> None:
        if self._is_made:
            self._relay.renew()

    async def close(self) -> None:
        if self._is_made:
            await self._relay.close()


class LateResolver:
    """The resolver that `make` makes."""

    def __init__(self, make: Callable[[], "CachingResolver"]) -> None:
        self._make = make

    @cached_property
    def _resolver(self) -> "CachingResolver":
        return self._make()

    def forget(self) -> None:
        if "_resolver" in self.__dict__:
            self._resolver.forget()

    async def mx(self, name: str, message: str | None = None) -> Answer:
        return await self._resolver.mx(name, message)

    async def addresses(self, name: str, message: str | None = None) -> Answer:
        return await self._resolver.addresses(name, message)

    async def dig(self, request: Dig) -> DigReport:
        return await self._resolver.dig(
            request.name, request.type, request.tcp, request.server, request.trace
        )
