"""Something broken by hand, and made good again."""

from mxlab.backends.base import Lab
from mxlab.errors import UnknownName, UsageError
from mxlab.faults import FAULTS, inject, refuse_unsupported_here
from mxlab.faults.open import OpenFault, heal, open_faults
from mxlab_services.faults.base import Mechanism


async def break_something(lab: Lab, mechanism: Mechanism, name: str | None = None) -> str:
    """Inject a fault, under that name or one that is free; returns the name by which `undo` knows
    it. Raises UnknownName for a host that is not there, UsageError for a name that is taken,
    Unsupported."""
    for host in mechanism.hosts:
        if host not in lab.nodes:
            raise UnknownName("node", host, lab.nodes)
    refuse_unsupported_here(lab, (mechanism.kind,))
    whole = mechanism.kind in FAULTS or mechanism.kind == "disconnect"
    if whole:
        chosen = mechanism.host  # by which the lab itself shows it
    else:
        taken = {one.name for one in await open_faults(lab)} | set(lab.nodes)
        if name in taken:
            raise UsageError(f"{name!r} is taken", "see `mxlab fault list`")
        chosen = _free(mechanism, taken) if name is None else name
    await inject(lab, chosen, mechanism)
    return chosen


def _free(mechanism: Mechanism, taken: set[str]) -> str:
    host, kind = mechanism.host, mechanism.kind
    wanted = kind if kind.startswith(f"{host}-") else f"{host}-{kind}"
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


async def undo(lab: Lab, names: list[str]) -> list[OpenFault]:
    """Undo faults by their ids, or by a node's name all that is broken there; none named: all.
    Returns them. Raises UnknownName.

    The nodes first: what is inside one can be asked for only when it runs.
    """
    found = await open_faults(lab)
    known = {one.name for one in found} | set(lab.nodes)
    for name in names:
        if name not in known:
            raise UnknownName("fault or node", name, known)
    healed = []
    for one in found:
        if not names or one.name in names or one.host in names:
            await heal(lab, one)
            healed.append(one)
    # What is inside a node shows only once the node runs.
    again = [name for name in names if name in {one.host for one in healed}]
    if not healed or (names and not again):
        return healed
    return [*healed, *await undo(lab, again)]
