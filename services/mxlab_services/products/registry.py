"""Whose mail server an agent can run: each product by name, loaded when it is wanted."""

from importlib import import_module

from mxlab_services.config import MtaConfig
from mxlab_services.errors import ConfigError
from mxlab_services.products.base import MailServer

_CLASSES = {
    "postfix": ("mxlab_services.products.postfix", "PostfixServer"),
    "exim": ("mxlab_services.products.exim", "EximServer"),
    "opensmtpd": ("mxlab_services.products.opensmtpd", "OpensmtpdServer"),
}


def server_of(config: MtaConfig) -> MailServer:
    """The product that `config` asks for, not prepared yet. Raises ConfigError for one that this
    package does not have, and for what it cannot be told."""
    module, name = _CLASSES.get(config.software, ("", ""))
    try:
        made: MailServer = getattr(import_module(module), name)(config)
    except (ModuleNotFoundError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name != module:
            raise
        if isinstance(error, ConfigError):
            raise
        known = ", ".join(_CLASSES)
        raise ConfigError(
            f"configuration: `software`: no agent here runs {config.software!r}, only {known}"
        ) from error
    return made
