"""The table of docs/faults.md, which world can do what, made from the catalogue."""

from collections.abc import Iterable

import msgspec
import yaml

from mxlab.backends.base import Backend
from mxlab.faults import able
from mxlab.faults.catalogue import CATALOGUE, FaultKind
from mxlab_services.faults.base import Mechanism
from mxlab_services.faults.kinds import DnsMxWithoutAddress

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
NO = "unsupported"
_HOW = {  # where a world has its own way
    ("kill", "docker"): "SIGKILL; then no host answers",
    ("kill", "process"): "SIGKILL; then connections are refused",
    ("kill", "sim"): "unsynced disk is lost; then no host answers",
    ("stop", "docker"): "SIGTERM",
    ("stop", "process"): "SIGTERM",
    ("pause", "docker"): "the freezer",
    ("pause", "process"): "SIGSTOP",
    ("drop", "docker"): "nftables",
    ("partition", "docker"): "nftables",
    ("reject", "docker"): "nftables",
    ("loss", "docker"): "nftables, by chance",
    ("limit-rate", "docker"): "a token bucket (htb)",
    ("cut-link", "docker"): "nftables, to the packet",
    ("disconnect", "docker"): "off the lab's network; back with the same address",
    ("disconnect", "sim"): "as a drop on all its links",
}


def table(worlds: Iterable[Backend]) -> str:
    """Markdown: a row for each fault, a column for each world."""
    backends = list(worlds)
    names = [backend.name for backend in backends]
    lines = [
        f"| fault | in a scenario | what happens | {' | '.join(names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for kind in CATALOGUE.values():
        cells = [_how(kind, backend) for backend in backends]
        usage = f"`{kind.name}: {_usage(kind.mechanism)}`"
        lines.append(f"| {kind.name} | {usage} | {kind.summary} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _how(kind: FaultKind, backend: Backend) -> str:
    if not able(kind, backend):
        return NO
    return _HOW.get((kind.name, backend.name), "yes")


_EXAMPLES = {
    "host": "mx1", "peers": "[mx2]", "seconds": "5", "share": "0.3", "after": "1000",
    "verb": "RCPT", "code": "451", "rate": "1000", "how": "expired",
    "address": "bob@example.test", "name": "example.test", "exchange": "mx9.example.test",
    "exchanges": "[mx1.example.test, mx2.example.test]",
}  # fmt: skip


def example(mechanism: type[Mechanism]) -> dict[str, str]:
    """YAML values for what the fault cannot do without."""
    fields = msgspec.structs.fields(mechanism)
    found = {field.name: _EXAMPLES[field.name] for field in fields if field.required}
    if mechanism is DnsMxWithoutAddress:
        found["name"] = "mx1.example.test"
    return found


def sample(mechanism: type[Mechanism]) -> Mechanism:
    """One of that kind, with nothing but what it needs."""
    given = {name: yaml.safe_load(value) for name, value in example(mechanism).items()}
    return msgspec.convert(given, mechanism)


def _usage(mechanism: type[Mechanism]) -> str:
    given = example(mechanism)
    if set(given) == {mechanism.short}:
        return given[mechanism.short]
    return "{" + ", ".join(f"{name}: {value}" for name, value in given.items()) + "}"
