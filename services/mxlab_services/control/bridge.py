"""`python -m mxlab_services.control.bridge PATH`: joins standard input and output to a socket.

Used over an exec into a container. Ends when either side does; imports as little as it can.
"""

import os
import select
import socket
import sys

_CHUNK = 1 << 16


def main(path: str) -> int:
    """Copy bytes both ways until one side ends; 1 if nobody listens at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        try:
            control.connect(path)
        except OSError as error:
            sys.stderr.write(f"{path}: {error.strerror}\n")
            return 1
        while True:
            ready, _, _ = select.select([0, control.fileno()], [], [])
            if 0 in ready:
                data = os.read(0, _CHUNK)
                if not data:
                    return 0
                control.sendall(data)
            if control.fileno() in ready:
                answer = control.recv(_CHUNK)
                if not answer:
                    return 0
                while answer:
                    answer = answer[os.write(1, answer) :]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mxlab_services.control.bridge PATH")
    sys.exit(main(sys.argv[1]))
