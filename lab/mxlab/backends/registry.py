"""The backends, each named once: what it is, and where it is written. In the order of preference.

Guarantee: the module of a backend is imported when it is first opened, so that nobody waits for
docker's SDK who does not ask for it. What a scenario file may say is `model.scenario.BackendName`.
"""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mxlab.errors import EnvironmentProblem, NoEngine, UnknownName

if TYPE_CHECKING:
    from mxlab.backends.base import Backend, Found, Progress
    from mxlab.model.scenario import BackendName, Scenario


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """`meaning`: what its labs are made of. `place`: its class. `lasting`: its labs are in real
    time and outlive mxlab; else they are in virtual time and end with the run."""

    name: "BackendName"
    meaning: str
    place: str
    lasting: bool = True


REGISTRY = {
    entry.name: entry
    for entry in (
        BackendEntry("docker", "containers", "mxlab.backends.docker:DockerBackend"),
        BackendEntry("process", "local processes", "mxlab.backends.process:ProcessBackend"),
        BackendEntry("sim", "the simulation", "mxlab.backends.sim.backend:SimBackend", False),
    )
}
BACKENDS: tuple[str, ...] = tuple(REGISTRY)
LASTING: tuple[str, ...] = tuple(entry.name for entry in REGISTRY.values() if entry.lasting)
QUICK_FIRST = LASTING[::-1]


def known(name: str, among: Sequence[str] = BACKENDS) -> BackendEntry:
    """The entry of that name. Raises UnknownName where it is not `among` those that will do."""
    for entry in REGISTRY.values():
        if entry.name == name and name in among:
            return entry
    raise UnknownName("backend", name, among)


def backend_named(name: str) -> "Backend":
    """The backend of that name; nothing is asked of it yet. Raises UnknownName."""
    backend: Backend = pkgutil.resolve_name(known(name).place)()
    return backend


def told_in(scenario: "Scenario", wish: str | None) -> tuple[str, ...]:
    """The backends to run it in, the first that can be had here: what somebody asks for, else what
    the scenario prefers, else all that can tell it. `auto` leaves it to the machine."""
    if wish not in (None, "auto"):
        return (wish,)
    if wish is None and scenario.backend:
        return (scenario.backend,)
    return tuple(name for name in BACKENDS if name in (scenario.backends or LASTING))


async def first_here(names: Sequence[str], progress: "Progress") -> "tuple[Backend, str]":
    """The first of these backends that can be had here, made ready; and why not those before it.

    The last one is not tried: what keeps it away is for `deploy` to tell.
    """
    reasons = []
    for name in names[:-1]:
        backend = backend_named(name)
        try:
            await backend.prepare(progress)
        except EnvironmentProblem as error:
            reasons.append(str(error))
        else:
            return backend, "; ".join(reasons)
    return backend_named(names[-1]), "; ".join(reasons)


async def find_labs() -> "tuple[list[Found], str]":
    """All labs of this machine, and why there may be more that cannot be seen."""
    found: list[Found] = []
    unseen = ""
    for name in QUICK_FIRST:
        try:
            found += await backend_named(name).find()
        except NoEngine as error:
            unseen = str(error)
    return found, unseen
