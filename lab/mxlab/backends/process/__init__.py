"""Labs of plain local processes on 127.x addresses. The only package that starts them.

`folder` is where a lab's state lies, `life` tells and ends processes, `space` finds addresses and
ports, `follow` reads growing files, `channel` talks to control sockets, `node` and `backend` are
what the lab sees.
"""

from mxlab.backends.process.backend import ProcessBackend, ProcessLab

__all__ = ["ProcessBackend", "ProcessLab"]
