"""A session of pytest with the plugin, in a project of somebody else's."""

import os
import re
import subprocess
import sys
from pathlib import Path

INI = """\
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""
SECONDS = 120


def session(place: Path, *words: str, code: int = 0) -> str:
    """The output of a test run there."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "MXLAB_"))
    }
    state = place / "state"
    command = [sys.executable, "-m", "pytest", "-p", "mxlab.api.pytest_plugin", "-rs", *words]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=place, env={**environment, "MXLAB_STATE_DIR": str(state)}, timeout=SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert list(state.rglob("pytest-*")) == [], "a lab is left"
    return said


def outcomes(said: str) -> dict[str, int]:
    last = said.strip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last)}
