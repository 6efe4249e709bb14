"""What a world cannot play, said before anything starts."""

from mxlab.backends.base import Backend, refuse_products
from mxlab.errors import Unsupported
from mxlab.faults import refuse_for_products, refuse_unsupported
from mxlab.model.scenario import Scenario, fault_kinds
from mxlab.plan.software import product_problems


def refuse(scenario: Scenario, backend: Backend) -> None:
    """Raise Unsupported for a story that is not for that world, for a fault that the world cannot
    do, and as `refuse_software`."""
    if scenario.backends and backend.name not in scenario.backends:
        able = " or ".join(scenario.backends)
        raise Unsupported(f"this scenario is not for {backend.name}", f"use --backend {able}")
    refuse_unsupported(backend, fault_kinds(scenario))
    refuse_software(scenario, backend)


def refuse_software(scenario: Scenario, backend: Backend) -> None:
    """Raise Unsupported for a mail server that the world has not, that cannot be in such a lab, or
    that cannot have what the story does to its host."""
    refuse_products(scenario.topology, backend)
    for problem in product_problems(scenario.topology):
        raise Unsupported(problem.text, problem.hint)
    refuse_for_products(scenario)
