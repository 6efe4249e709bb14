"""Programs of others that some tests use.

Where one is missing its tests are skipped by name; where all is required (MXLAB_REQUIRE_DOCKER,
as in CI) they run and fail, so that CI cannot pass without.
"""

import os
import shutil

import pytest

from mxlab.backends.process.inside import mount_namespace
from mxlab.errors import Unsupported

REQUIRED = bool(os.environ.get("MXLAB_REQUIRE_DOCKER"))


def problem(*programs: str) -> str:
    """Which of them are missing, in words, or an empty string."""
    missing = [name for name in programs if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def needs(*programs: str) -> pytest.MarkDecorator:
    """For tests that cannot be told without these programs."""
    reason = problem(*programs)
    return pytest.mark.skipif(bool(reason) and not REQUIRED, reason=reason or "-")


def require(*programs: str) -> None:
    """The same from within a test."""
    reason = problem(*programs)
    if reason and not REQUIRED:
        pytest.skip(reason)


def require_namespace() -> None:
    """Skip where no command can have an inside of its own, unless everything is required."""
    try:
        mount_namespace()
    except Unsupported as error:
        if not REQUIRED:
            pytest.skip(str(error))
