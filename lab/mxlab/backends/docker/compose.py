"""Exports a lab as a Compose file: the same containers, addresses, limits and labels as the docker
backend makes, for plain Compose (v1.29 and v2) and no mxlab. The backend finds such a lab by its
labels, and every command that needs a running lab works on it.
"""

from typing import Any

import yaml

from mxlab.backends.docker import shape as shapes
from mxlab.backends.docker.image import LATEST
from mxlab.backends.docker.shape import Shape, lab_labels
from mxlab.backends.docker.subnets import CANDIDATES
from mxlab.model.topology import Topology
from mxlab.plan.plan import World, make_plan

RUN = "compose"  # one file is one life: its volumes outlive `down`, unless it is told `-v`
NETWORK = "lab"
HEADER = """\
# The default lab for plain Compose: `docker compose up -d`, and `docker compose down -v`.
# Made by `mxlab export compose`; do not edit. The image: `mxlab image build` or `mxlab image load`.
"""


def export_compose(topology: Topology | None = None, lab: str = "lab") -> str:
    """The Compose file's text. Raises UsageError for a topology or a name that cannot be."""
    shapes.check_names(lab, RUN)
    world = World(subnet=str(CANDIDATES[0]), listen="0.0.0.0")
    plan = make_plan(lab, RUN, topology or Topology(), world)
    nodes = shapes.shapes(plan)
    document: dict[str, Any] = {
        "services": {shape.config.node: _service(shape) for shape in nodes},
        "networks": {
            NETWORK: {
                "name": f"mxlab-{lab}",
                "driver": "bridge",
                "internal": True,
                "ipam": {"config": [{"subnet": plan.subnet}]},
                "labels": lab_labels(lab, RUN, "lab"),
            }
        },
        "volumes": {
            shape.config.node: {"name": shape.volume, "labels": shapes.volume_labels(shape)}
            for shape in nodes
            if shape.volume
        },
    }
    text = yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
    return HEADER + text


def _service(shape: Shape) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": f"${{MXLAB_IMAGE:-{LATEST}}}",
        "container_name": shape.name,
        "hostname": shape.hostname,
        "user": shapes.USER,
        "cap_drop": ["ALL"],
        "read_only": True,
        "security_opt": list(shapes.SECURITY),
        "mem_limit": shapes.MEMORY,
        "memswap_limit": shapes.MEMORY,
        "pids_limit": shapes.PIDS,
        "sysctls": dict(shapes.SYSCTLS),
        "tmpfs": [f"{path}:{options}" for path, options in shapes.TMPFS.items()],
        "dns": [shape.dns],
        "dns_search": list(shape.search),
        "dns_opt": list(shapes.DNS_OPTIONS),
        "logging": {"driver": "json-file", "options": dict(shapes.LOG_OPTIONS)},
        "networks": {NETWORK: {"ipv4_address": shape.config.address}},
        "environment": _literal(shape.environment),
        "labels": _literal(shape.labels),
    }
    if shape.volume:
        service["volumes"] = [
            {"type": "volume", "source": shape.config.node, "target": shapes.DATA}
        ]
    return service


def _literal(values: dict[str, str]) -> dict[str, str]:
    """Values in which Compose must not look for variables."""
    return {key: value.replace("$", "$$") for key, value in values.items()}
