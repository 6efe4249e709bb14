"""run --dry-run: the plan, and what each world can do of it. Nothing is started."""

from typing import TYPE_CHECKING, Any, Literal

from mxlab.cli.output import Waiting, say
from mxlab.cli.running import BACKENDS, backend_named
from mxlab.errors import EXIT_ENVIRONMENT, EXIT_OK

if TYPE_CHECKING:
    from mxlab.backends.base import Backend
    from mxlab.doctor.machine import Check
    from mxlab.model.scenario import Scenario

WORLDS = (*BACKENDS, "sim")


async def plans(stories: "list[Scenario]", backend: str | None) -> list[dict[str, Any]]:
    """For each scenario its plan, as plain data. `obstacle`: why its world cannot do it, or ""."""
    from mxlab.doctor.machine import examine
    from mxlab.model.scenario import told_in

    with Waiting() as progress:
        progress("probing")
        checks = await examine()
    return [_plan(story, told_in(story, backend), checks) for story in stories]


def _plan(story: "Scenario", backend: str, checks: "list[Check]") -> dict[str, Any]:
    from mxlab.scenario.describe import ending, lab_of
    from mxlab.scenario.describe import story as told

    worlds = {name: _obstacle(story, name, checks) for name in WORLDS}
    if backend == "auto":  # as `choose_backend` does, which looks at the machine alone
        backend = "docker" if not _machine("docker", checks) else "process"
    return {
        "id": story.id,
        "title": story.title,
        "lab": lab_of(story),
        "story": told(story),
        "expect": ending(story),
        "worlds": worlds,
        "backend": backend,
        "obstacle": worlds[backend],
    }


def _obstacle(story: "Scenario", world: str, checks: "list[Check]") -> str:
    """Why the world cannot play it, or nothing."""
    from mxlab.model.scenario import fault_kinds
    from mxlab.scenario.lint import unsupported

    if story.backends and world not in story.backends:
        return f"it is told for {' and '.join(story.backends)} only"
    cannot = [r for kind in fault_kinds(story) if (r := unsupported(_backend(world), (kind,)))]
    return "; ".join([*_machine(world, checks), *cannot])


def _machine(world: str, checks: "list[Check]") -> list[str]:
    wanted: tuple[Literal["docker", "process", "both"], str] = ("both", world)
    bad = [c for c in checks if c.result == "problem" and c.world in wanted]
    return [] if world == "sim" else [f"{c.name}: {c.found}" for c in bad]


def _backend(name: str) -> "Backend":
    if name == "sim":
        from mxlab.backends.sim.backend import SimBackend

        return SimBackend()
    return backend_named(name)


def show_plan(plan: dict[str, Any]) -> None:
    """Print it for people; the story itself was told before."""
    say("\nWhere it can be played:")
    for world, obstacle in plan["worlds"].items():
        say(f"  {world:<8} {f'no: {obstacle}' if obstacle else 'yes'}")
    say(f"\nNothing was started. `mxlab run` would use: {plan['backend']}")


def code_of(plans: list[dict[str, Any]]) -> int:
    """The exit code: 3 where a scenario cannot be played in its world."""
    return EXIT_ENVIRONMENT if any(plan["obstacle"] for plan in plans) else EXIT_OK
