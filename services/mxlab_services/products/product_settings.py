"""Changes the settings that a product has, as `roles.settings` does those of our own MTA.

Guarantee: as there. What makes no difference to the product's configuration is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mxlab_services.config import MtaConfig
from mxlab_services.errors import ConfigError, ControlError
from mxlab_services.events import Emit
from mxlab_services.products.base import HasRendering, MailServer, ToolFailed
from mxlab_services.queue.live import LiveConfig
from mxlab_services.roles.settings import Settings
from mxlab_services.runtime import Overrides
from mxlab_services.settings import changed


class ProductSettings(Settings):
    """The settings of one product's node; `make` makes the product of another configuration."""

    def __init__(
        self,
        first: MtaConfig,
        live: LiveConfig,
        make: Callable[[MtaConfig], MailServer],
        overrides: Overrides,
        emit: Emit,
    ) -> None:
        super().__init__(first, live, overrides, emit)
        self._make = make

    def _check(self, before: MtaConfig, wanted: Mapping[str, Any]) -> None:
        now = self._make(before)
        for key, value in wanted.items():
            alone = changed(before, {key: value})
            then = self._make(alone)
            if not (isinstance(now, HasRendering) and isinstance(then, HasRendering)):
                text = f"nothing of {before.software} can be changed while it runs"
                raise ConfigError(f"`{key}`: {text}")
            if alone != before and now.rendering() == then.rendering():
                raise ConfigError(f"`{key}`: {before.software} has no such setting")

    async def _take_over(self, before: MtaConfig, after: MtaConfig, kept: dict[str, Any]) -> None:
        """Keep it, write it, and have the product read it; or leave all as it was. Raises
        ControlError, too."""
        saved = self._overrides.load()
        self._overrides.save(kept)
        try:
            product = self._make(after)
            product.prepare()
            await product.reload()
        except BaseException as error:
            self._overrides.save(saved)
            self._make(before).prepare()
            if isinstance(error, OSError | ToolFailed):
                raise ControlError(str(error)) from error
            raise
