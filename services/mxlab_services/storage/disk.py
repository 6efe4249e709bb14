"""What every store on a disk needs: names made durable, and the system's errors as ours."""

import errno
import os
from pathlib import Path

from mxlab_services.errors import SpoolError, SpoolFull

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: Exception, *, full: bool = False) -> SpoolError:
    """An error of the system as one of ours. `full`: it is known to be one of space."""
    if isinstance(error, SpoolError):
        return error
    if full or (isinstance(error, OSError) and error.errno in _NO_SPACE):
        return SpoolFull(f"no space for the spool: {error}")
    return SpoolError(f"spool: {error}")
