"""tshark, as a reader of captures that knows nothing of mxlab."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.programs import needs

needs_tshark = needs("tshark", "capinfos")
STRICT = [
    option for layer in ("ip", "tcp", "udp") for option in ("-o", f"{layer}.check_checksum:TRUE")
]  # checksums are not looked at by default
WARNING = 0x600000  # expert.severity of PI_WARN; above it are errors
ERROR = 0x800000
AMISS = f"_ws.malformed || _ws.expert.severity >= {ERROR} || _ws.unreassembled"
# The ports of local processes whose user may not have the lower ones.
OTHERS = (
    "tcp.port==2525,smtp",
    "tcp.port==10025,smtp",
    "udp.port==5353,dns",
    "udp.port==10053,dns",
)
BAD = 0  # of a checksum's status
ANALYSIS = "tcp.analysis.flags"
CHECKSUMS = [f"{layer}.checksum.status == {BAD}" for layer in ("ip", "tcp", "udp")]


def fields(path: Path, *names: str, where: str = "", more: tuple[str, ...] = ()) -> list[list[str]]:
    """Of each packet that fits, its fields; several values of one are joined by commas."""
    wanted = [word for name in names for word in ("-e", name)]
    command = ["-T", "fields", *wanted, *(["-Y", where] if where else []), *more]
    return [line.split("\t") for line in _run("-r", str(path), *STRICT, *command).splitlines()]


def values(path: Path, name: str, where: str = "") -> set[str]:
    """All that a field has in any packet."""
    found = fields(path, name, where=where, more=("-E", "aggregator=\x01"))
    return {value for row in found for value in row[0].split("\x01") if value}


def amiss(path: Path, *, checksums: bool = True) -> list[str]:
    """The packets in which tshark finds something malformed or wrong, in its words."""
    return _run("-r", str(path), *(STRICT if checksums else []), "-Y", AMISS).splitlines()


def flagged(path: Path, *, checksums: bool = True) -> list[str]:
    """The packets at which TCP's analysis or a checksum has something to say, in its words."""
    where = " || ".join([ANALYSIS, *(CHECKSUMS if checksums else [])])
    return _run("-r", str(path), *(STRICT if checksums else []), "-Y", where).splitlines()


def packets(path: Path, where: str) -> list[dict[str, Any]]:
    """The packets that fit, dissected."""
    found = json.loads(_run("-r", str(path), "-T", "json", "-Y", where))
    return [one["_source"]["layers"] for one in found]


def about(path: Path) -> str:
    """What capinfos says of the file."""
    return subprocess.run(["capinfos", path], capture_output=True, text=True, check=True).stdout


def _run(*arguments: str) -> str:
    decode = [word for other in OTHERS for word in ("-d", other)]
    done = subprocess.run(
        ["tshark", "-n", *decode, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
