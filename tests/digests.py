"""Prints a digest of all events of each scenario in the simulation, for two seeds, and chaos.

Scenarios with TLS are left out: their times depend on the machine's OpenSSL too.
"""

import hashlib
import sys

from mxlab import run
from mxlab.backends.sim.backend import SimBackend
from mxlab.chaos.search import search
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load, scenario_ids
from mxlab_services.events import encode

SEEDS = (0, 7)
RUNS = 200  # of chaos


def digest(result: RunResult) -> str:
    """SHA-256 (hex) of the events, node by node."""
    found = hashlib.sha256()
    for node in sorted(result.trace.by_node):
        for event in result.trace.by_node[node]:
            found.update(encode(event))
    return found.hexdigest()


def main() -> int:
    for name in scenario_ids():
        scenario = load(name)
        if scenario.topology.tls or (
            scenario.backends and SimBackend.name not in scenario.backends
        ):
            continue
        for seed in SEEDS:
            print(name, seed, digest(run(scenario, "sim", seed=seed, lab="digest")), flush=True)
    tally = search(seed=1, runs=RUNS)
    print("chaos", tally.runs, f"{tally.lab_seconds:.6f}", tally.found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
