"""Where the files that ship with mxlab lie: in the installed package, or in the checkout."""

from pathlib import Path
from typing import Literal

import mxlab_services

_PACKAGE = Path(__file__).parent
SERVICES = Path(mxlab_services.__file__).parent  # the source that goes into the image


def assets(kind: Literal["scenarios", "compose"]) -> Path:
    """The folder of that name."""
    installed = _PACKAGE / "_assets" / kind
    return installed if installed.is_dir() else _PACKAGE.parents[1] / kind
