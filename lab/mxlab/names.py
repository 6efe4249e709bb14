"""What a lab may be called: the same in every backend, and where a name comes in.

Guarantee: no lab is brought up, looked for or removed by a name that is none, an empty one least.
"""

import re

from mxlab.errors import UsageError

RULE = "small letters, digits, '-', '_' and '.', the first a letter or a digit, at most 63"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_SHOWN = 80


def check_lab_name(name: str, kind: str = "lab", where: str = "") -> str:
    """The name. Raises UsageError for what is none; `where` it came from, when that helps."""
    said = f"{where}: " if where else ""
    if not name.strip():
        raise UsageError(f"{said}an empty name is no name of a {kind}", f"a name has {RULE}")
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        raise UsageError(f"{said}{shown!r} cannot be the name of a {kind}", f"use {RULE}")
    return name
