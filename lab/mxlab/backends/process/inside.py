"""A command of this machine, run as if inside a node of local processes: its resolver is the lab's.

Guarantee: no name that the command looks up is asked of anybody but the lab's DNS server. It gets a
mount namespace of its own, with the lab in the place of /etc/resolv.conf, the other ways of
/etc/nsswitch.conf left out; where that cannot be had, nothing is run.
"""

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mxlab.errors import EnvironmentProblem, Unsupported

DNS_PORT = 53  # the only one that resolv.conf knows
PROBE_SECONDS = 10
CLOSED_SECONDS = 0.2  # for a port on loopback to say that nobody is there
WITH_PORT = {"dig": "-p", "host": "-p"}
_NAMESPACES = (("--mount",), ("--user", "--map-root-user", "--mount"))
_RESOLV = "/etc/resolv.conf"
_SWITCH = Path("/etc/nsswitch.conf")
_CACHES = ("/run/nscd/socket",)  # asked before any file is read
# Its words: how many pairs, the pairs (ours, theirs), the command. What is not here is not covered.
_SCRIPT = """\
n=$1; shift
while [ "$n" -gt 0 ]; do
  mount --bind "$1" "$2" || { echo "mxlab: nothing was run: $2 is not the lab's" >&2; exit 3; }
  shift 2; n=$((n - 1))
done
exec "$@"
"""


def inside(
    folder: Path, command: Sequence[str], dns: tuple[str, int], search: Sequence[str]
) -> list[str]:
    """The argument vector that runs `command` in `folder` with that DNS server (address and port).

    Raises Unsupported where a question could leave the lab, with the reason.
    """
    address, port = dns
    words = list(command)
    if port != DNS_PORT:
        _nobody_at(address, port)
        if (option := WITH_PORT.get(Path(words[0]).name)) is not None:
            words[1:1] = [option, str(port)]
    covers = _covers(folder, address, search)
    namespace = mount_namespace()
    return [*namespace, "env", "-C", str(folder), "sh", "-c", _SCRIPT, "sh", str(len(covers)),
            *(word for pair in covers for word in pair), *words]  # fmt: skip


def _covers(folder: Path, address: str, search: Sequence[str]) -> list[tuple[str, str]]:
    """The files of ours that come into the place of the machine's; written here."""
    resolv = folder / "resolv.conf"
    text = f"search {' '.join(search)}\nnameserver {address}\noptions timeout:2 attempts:2\n"
    try:
        resolv.write_text(text)
        pairs = [(str(resolv), _RESOLV)]
        if _SWITCH.exists():
            switch = folder / "nsswitch.conf"
            lines = _SWITCH.read_text(errors="surrogateescape").splitlines()
            kept = [line for line in lines if not line.lstrip().startswith("hosts:")]
            switch.write_text("\n".join([*kept, "hosts: files dns", ""]), errors="surrogateescape")
            pairs.append((str(switch), str(_SWITCH)))
    except OSError as error:
        raise EnvironmentProblem(f"{folder}: {error.strerror}") from error
    return pairs + [(os.devnull, cache) for cache in _CACHES if Path(cache).exists()]


def mount_namespace() -> list[str]:
    """The words that put a command into a mount namespace of its own, as it works for this user.

    Raises Unsupported, with the reason.
    """
    program = shutil.which("unshare")
    if program is None:
        raise _no_namespace("unshare (of util-linux) is not installed")
    said = ""
    for options in _NAMESPACES:
        words = [program, *options]
        tried = subprocess.run(
            [*words, "mount", "--bind", _RESOLV, _RESOLV],
            capture_output=True, text=True, timeout=PROBE_SECONDS, check=False,
        )  # fmt: skip
        if tried.returncode == 0:
            return words
        said = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else said
    raise _no_namespace(said or "unshare failed")


def _no_namespace(reason: str) -> Unsupported:
    return Unsupported(
        f"its questions would go to this machine's resolver: no mount namespace ({reason})",
        "`mxlab dig` and `mxlab send` ask the lab; containers (--backend docker) have an inside",
    )


def _nobody_at(address: str, port: int) -> None:
    """See that nobody takes questions at `address`, port 53. Raises Unsupported."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(CLOSED_SECONDS)
        try:
            probe.connect((address, DNS_PORT))
            probe.send(b"\0")
            probe.recv(1)
        except ConnectionRefusedError:
            return
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                return
    raise Unsupported(
        f"its questions would leave the lab: port {DNS_PORT} is another program's, and the lab's "
        f"DNS server is at port {port}",
        "`mxlab dig` asks the lab; end that program, or use containers (--backend docker)",
    )
