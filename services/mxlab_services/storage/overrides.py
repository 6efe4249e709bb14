"""The settings that were changed while a node ran: it finds them again at its next start.

Guarantee: when `save` has returned, they survive a crash; one on the way leaves those of before.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from mxlab_services.errors import ConfigError, SpoolError
from mxlab_services.storage.disk import sync_directory


class FileOverrides:
    """A JSON object in a file: the settings' keys, and their values."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """What was saved last. Raises ConfigError for a file that somebody else has written."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, OSError) as error:
            raise ConfigError(f"{self._path}: {error}; remove it to start without") from error

    def save(self, values: dict[str, Any]) -> None:
        """Raises SpoolError when the disk refuses."""
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(msgspec.json.encode(values))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise SpoolError(f"the settings cannot be kept: {error}") from error
