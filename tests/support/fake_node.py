"""Runs a node whose mail server is the fake product: `python fake_node.py CONFIG PLAN`.

Beside CONFIG lies a file of its name with `.fake`: the fake's own port, and its routes.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mxlab_services.config import MtaConfig
from mxlab_services.products import base, registry
from tests.support.fake_product import FakeServer


def main(config: Path) -> int:
    given = json.loads(config.with_suffix(".fake").read_text())
    base.INNER_PORT = given["port"]  # before the agent is loaded

    def fake(made: MtaConfig) -> FakeServer:
        return FakeServer(made, given["port"], given["routes"], retry=given["retry"])

    registry.server_of = fake  # type: ignore[assignment]
    from mxlab_services.__main__ import main as run

    foreign = config.with_suffix(".foreign")
    foreign.write_text(json.dumps(json.loads(config.read_text()) | {"software": "exim"}))
    return run(["--config", str(foreign)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
