"""What Tab completes: the names of labs, nodes, faults and scenarios, as they are at that moment.

Guarantee: nothing is changed or started, and what cannot be found out completes to nothing, without
a word: whoever presses Tab is in the middle of a line.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mxlab.errors import LabError

if TYPE_CHECKING:
    from mxlab.backends.base import Found

T = TypeVar("T")

SECONDS = 2.0  # for an engine to say what labs there are
DEFAULT_LAB = "lab"


def lab_names(incomplete: str) -> list[str]:
    """The labs that are up, or of which something is left."""
    return _fitting(incomplete, (found.lab for found in _asked(_labs(), [])))


def node_names(context: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the lab that the line names, but for those that stand on it already."""
    given = context.params.get("nodes") or ()
    nodes = _asked(_nodes(_lab_of(context)), [])
    return _fitting(incomplete, (node for node in nodes if node not in given))


def machine_names(context: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the lab that the line names, and the IMAP servers beside them, but for those
    that stand on it already."""
    given, lab = context.params.get("nodes") or (), _lab_of(context)
    names = {*_asked(_nodes(lab), []), *_asked(_beside(lab), [])}
    return _fitting(incomplete, (name for name in names if name not in given))


def sender_names(context: typer.Context, incomplete: str) -> list[str]:
    """The clients of the lab that the line names."""
    return _fitting(incomplete, _asked(_senders(_lab_of(context)), []))


def faulty_names(context: typer.Context, incomplete: str) -> list[str]:
    """Where or what to break: a node, or `list`."""
    return _fitting(incomplete, ["list", *_asked(_nodes(_lab_of(context)), [])])


def fault_kinds(incomplete: str) -> list[str]:
    """The faults of the catalogue."""
    from mxlab.faults.catalogue import CATALOGUE

    return _fitting(incomplete, CATALOGUE)


def open_faults(context: typer.Context, incomplete: str) -> list[str]:
    """What can be healed, by its id or by its node."""
    given = context.params.get("names") or ()
    found = _asked(_standing(_lab_of(context)), [])
    return _fitting(incomplete, (name for name in found if name not in given))


def software_words(incomplete: str) -> list[str]:
    """Hosts of a lab as it is by itself, each with whose mail server it may be."""
    from mxlab.model.software import SOFTWARE
    from mxlab.model.topology import Topology

    host, equals, _ = incomplete.partition("=")
    hosts = (host,) if equals else tuple(Topology().software)
    return _fitting(incomplete, (f"{host}={name}" for host in hosts for name in SOFTWARE))


def software_names(incomplete: str) -> list[str]:
    """Whose mail servers there are."""
    from mxlab.model.software import SOFTWARE

    return _fitting(incomplete, SOFTWARE)


def setting_keys(incomplete: str) -> list[str]:
    """The settings that can be changed."""
    from mxlab_services.settings import changeable

    return _fitting(incomplete, changeable())


def rule_names(incomplete: str) -> list[str]:
    """The rules of the operating guidelines."""
    from mxlab.audit.rule import audit_rules

    return _fitting(incomplete, audit_rules())


def scenario_names(context: typer.Context, incomplete: str) -> list[str]:
    """The scenarios by id; where none fits, the shell completes files."""
    from mxlab.scenario.load import scenario_ids

    folder = context.params.get("folder") or context.params.get("scenarios")
    return _fitting(incomplete, scenario_ids(folder if hasattr(folder, "is_dir") else None))


def exercise_names(context: typer.Context, incomplete: str) -> list[str]:
    """The exercises by id; where none fits, the shell completes files."""
    from mxlab.exercise.load import exercise_ids

    folder = context.params.get("scenarios")
    return _fitting(incomplete, exercise_ids(folder if hasattr(folder, "is_dir") else None))


def _fitting(incomplete: str, names: Any) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _lab_of(context: typer.Context) -> str:
    return str(context.params.get("lab") or DEFAULT_LAB)


def _asked(question: Coroutine[Any, Any, T], nothing: T) -> T:
    import asyncio

    async def bounded() -> T:
        async with asyncio.timeout(SECONDS):
            return await question

    try:
        return asyncio.run(bounded())
    except (LabError, OSError, TimeoutError):
        return nothing


async def _labs() -> "list[Found]":
    from mxlab.backends.registry import find_labs

    found, _ = await find_labs()
    return found


async def _nodes(lab: str) -> list[str]:
    from mxlab.backends.registry import QUICK_FIRST, backend_named

    for name in QUICK_FIRST:
        for found in await backend_named(name).find():
            if found.lab == lab:
                return list(found.nodes)
    return []


async def _beside(lab: str) -> list[str]:
    from mxlab.cli.running import attached, imap_servers

    async with attached(lab) as running:
        return list(imap_servers(running))


async def _senders(lab: str) -> list[str]:
    from mxlab.cli.running import attached

    async with attached(lab) as running:
        return list(running.topology.sender_domains)


async def _standing(lab: str) -> list[str]:
    from mxlab.cli.running import attached
    from mxlab.faults.open import open_faults

    async with attached(lab) as running:
        return [name for one in await open_faults(running) for name in (one.name, one.host)]
