"""run --dry-run: the plan, and what each world can do of it. Nothing is started."""

from typing import TYPE_CHECKING, Any

from mxlab.backends.registry import BACKENDS, LASTING, backend_named, told_in
from mxlab.cli.output import Waiting, say
from mxlab.errors import EXIT_ENVIRONMENT, EXIT_OK

if TYPE_CHECKING:
    from mxlab.doctor.machine import MachineCheck
    from mxlab.model.scenario import Scenario


async def plans(stories: "list[Scenario]", backend: str | None) -> list[dict[str, Any]]:
    """For each scenario its plan, as plain data. `obstacle`: why its world cannot do it, or ""."""
    from mxlab.doctor.machine import examine

    with Waiting() as progress:
        progress("probing")
        checks = await examine()
    return [_plan(story, told_in(story, backend), checks) for story in stories]


def _plan(
    story: "Scenario", backends: tuple[str, ...], checks: "list[MachineCheck]"
) -> dict[str, Any]:
    from mxlab.scenario.describe import expectations, lab_of
    from mxlab.scenario.describe import story as told

    obstacles = {name: _obstacle(story, name, checks) for name in BACKENDS}
    # As `first_here`, which looks at the machine alone.
    backend = next((name for name in backends if not _machine(name, checks)), backends[-1])
    return {
        "id": story.id,
        "title": story.title,
        "lab": lab_of(story),
        "story": told(story),
        "expect": expectations(story),
        "worlds": obstacles,
        "backend": backend,
        "obstacle": obstacles[backend],
    }


def _obstacle(story: "Scenario", world: str, checks: "list[MachineCheck]") -> str:
    """Why the world cannot play it, or nothing."""
    from mxlab.model.scenario import fault_kinds
    from mxlab.scenario.lint import unsupported, without_products

    if story.backends and world not in story.backends:
        return f"it is told for {' and '.join(story.backends)} only"
    backend = backend_named(world)
    cannot = [reason for kind in fault_kinds(story) if (reason := unsupported(backend, (kind,)))]
    if reason := without_products(backend, story):
        cannot.append(reason)
    return "; ".join([*_machine(world, checks), *cannot])


def _machine(world: str, checks: "list[MachineCheck]") -> list[str]:
    bad = [c for c in checks if c.result == "problem" and c.world in ("both", world)]
    return [f"{c.name}: {c.found}" for c in bad if world in LASTING]


def show_plan(plan: dict[str, Any]) -> None:
    """Print it for people; the story itself was told before."""
    say("\nWhere it can be played:")
    for world, obstacle in plan["worlds"].items():
        say(f"  {world:<8} {f'no: {obstacle}' if obstacle else 'yes'}")
    say(f"\nNothing was started. `mxlab run` would use: {plan['backend']}")


def code_of(plans: list[dict[str, Any]]) -> int:
    """The exit code: 3 where a scenario cannot be played in its world."""
    return EXIT_ENVIRONMENT if any(plan["obstacle"] for plan in plans) else EXIT_OK
