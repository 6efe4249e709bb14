"""Exports a lab as a Compose file: the same containers, addresses, limits and labels as the docker
backend makes, for plain Compose (v1.29 and v2) and no mxlab. The backend finds such a lab by its
labels, and every command that needs a running lab works on it.
"""

from typing import Any

import yaml

from mxlab.backends.docker import shape as shapes
from mxlab.backends.docker.image import LATEST
from mxlab.backends.docker.products import PRODUCTS
from mxlab.backends.docker.shape import ContainerShape, lab_labels
from mxlab.backends.docker.subnets import CANDIDATES
from mxlab.errors import Unsupported
from mxlab.model.software import OURS, products_in
from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan

RUN = "compose"  # one file is one life: its volumes outlive `down`, unless it is told `-v`
NETWORK = "lab"
HEADER = """\
# The default lab for plain Compose: `docker compose up -d`, and `docker compose down -v`.
# Made by `mxlab export compose`; do not edit. The image: `mxlab image build` or `mxlab image load`.
"""


def export_compose(topology: Topology | None = None, lab: str = "lab") -> str:
    """The Compose file's text. Raises UsageError for a topology or a name that cannot be,
    Unsupported for one with IMAP servers."""
    shapes.check_names(lab, RUN)
    if topology is not None and topology.imap:
        raise Unsupported("a Compose file of mxlab has no IMAP server", "leave `imap` out")
    world = AddressPlan(subnet=str(CANDIDATES[0]), listen="0.0.0.0")
    plan = make_plan(lab, RUN, topology or Topology(), world)
    nodes, subnets = shapes.shapes(plan), plan.engine_subnets
    software = {shape.config.node: shape.software for shape in nodes}
    document: dict[str, Any] = {
        "services": {shape.config.node: _service(shape) for shape in nodes},
        "networks": {
            NETWORK: {
                "name": f"mxlab-{lab}",
                "driver": "bridge",
                "internal": True,
                **({"enable_ipv6": True} if len(subnets) > 1 else {}),
                "ipam": {"config": [{"subnet": subnet} for subnet in subnets]},
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
    more = (f"# Of {name}: the same, with `--product {name}`.\n" for name in products_in(software))
    return HEADER + "".join(more) + text


def _service(shape: ContainerShape) -> dict[str, Any]:
    rights = shape.rights
    service: dict[str, Any] = {
        "image": _image(shape),
        "container_name": shape.name,
        **shapes.engine_names(shape.hostname),
        "user": rights.user,
        "cap_drop": ["ALL"],
        **({"cap_add": list(rights.capabilities)} if rights.capabilities else {}),
        "read_only": True,
        "security_opt": list(shapes.SECURITY),
        "mem_limit": shapes.MEMORY,
        "memswap_limit": shapes.MEMORY,
        "pids_limit": rights.pids,
        "sysctls": dict(shapes.SYSCTLS),
        "tmpfs": [f"{path}:{options}" for path, options in rights.tmpfs.items()],
        "dns": [shape.dns],
        "dns_search": list(shape.search),
        "dns_opt": shapes.dns_options(shape.dns),
        "logging": {"driver": "json-file", "options": dict(shapes.LOG_OPTIONS)},
        "networks": {NETWORK: dict(shape.endpoint)},
        "environment": _literal(shape.environment),
        "labels": _literal(shape.labels),
    }
    if shape.volume:
        service["volumes"] = [
            {"type": "volume", "source": shape.config.node, "target": shapes.DATA}
        ]
    return service


def _image(shape: ContainerShape) -> str:
    """By a variable that may name another, e.g. MXLAB_IMAGE, or MXLAB_POSTFIX_IMAGE."""
    if shape.software == OURS:
        return f"${{MXLAB_IMAGE:-{LATEST}}}"
    product = PRODUCTS[shape.software]
    return f"${{MXLAB_{product.name.upper()}_IMAGE:-{product.latest}}}"


def _literal(values: dict[str, str]) -> dict[str, str]:
    """Values in which Compose must not look for variables."""
    return {key: value.replace("$", "$$") for key, value in values.items()}
