"""mxlab: a miniature mail system for hands-on labs, with scripted outages and proof.

    from mxlab import Scenario, delivered, eventually, fault, heal, queue, run, send

The names are loaded when they are first used, so that `import mxlab` is quick.
"""

TYPE_CHECKING = False  # true for type checkers; `typing` itself takes its time
if TYPE_CHECKING:
    from typing import Any

    from mxlab.api.build import (
        Scenario,
        ask,
        asked,
        attempt,
        bounced,
        config,
        deferred,
        delivered,
        dns,
        etrn,
        eventually,
        fault,
        heal,
        mailbox,
        never,
        notified,
        parallel,
        python,
        queue,
        reply,
        retries,
        say,
        send,
        struck,
        wait,
    )
    from mxlab.api.run import run
    from mxlab.model.topology import Exchange, Topology

__version__ = "0.1.0"
__all__ = [
    "Exchange", "Scenario", "Topology", "ask", "asked", "attempt", "bounced", "config", "deferred",
    "delivered", "dns", "etrn", "eventually", "fault", "heal", "mailbox", "never", "notified",
    "parallel", "python", "queue", "reply", "retries", "run", "say", "send", "struck", "wait",
]  # fmt: skip


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module 'mxlab' has no attribute {name!r}")
    import importlib

    elsewhere = dict.fromkeys(("Exchange", "Topology"), "mxlab.model.topology")
    where = (elsewhere | {"run": "mxlab.api.run"}).get(name, "mxlab.api.build")
    return getattr(importlib.import_module(where), name)
