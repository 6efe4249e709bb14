"""Labs of real containers. The only package that imports docker.

`engine` connects, `streams` reads without blocking, `shape` says what a container looks like,
`make` creates, `sweep` finds and removes, `logs` and `channel` listen and talk, `node` and
`backend` are what the lab sees.
"""

from mxlab.backends.docker.backend import DockerBackend, DockerLab
from mxlab.backends.docker.imaging import ImageStore, image_store

__all__ = ["DockerBackend", "DockerLab", "ImageStore", "image_store"]
