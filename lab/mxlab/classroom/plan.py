"""A class on paper: its seats with their seeds and secrets, as the class server is given it.

Guarantee: tokens and secrets are drawn by the system's own source, 128 bits each; the same
seat of the same class always has the same seed, so that a seat made again has the same answers.
"""

import hashlib
import secrets
from pathlib import Path

import msgspec

from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.names import check_lab_name

MOST = 200  # seats
SEEDS = 1_000_000
PORT = 8000  # of the class server, where nothing else is said


class SeatPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One seat. `number` counts from 1; `token` is the student's, in the handout; `secret` is
    between the seat and the class server, and the bearer token of the seat's board."""

    number: int
    seed: int
    token: str
    secret: str

    @property
    def host(self) -> str:
        """Its container's name and host name."""
        return f"seat-{self.number}"


class ClassPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole class. `track`: the exercises it works through; `port`: where the class server
    listens; `teacher_token`: who has it sees all seats."""

    name: str
    track: str
    port: int
    teacher_token: str
    seats: list[SeatPlan]

    def seat(self, number: int) -> SeatPlan:
        """Raises UsageError for a seat that the class has not."""
        for seat in self.seats:
            if seat.number == number:
                return seat
        raise UsageError(
            f"there is no seat {number} in class {self.name}", f"seats 1 to {len(self.seats)}"
        )


def make_plan(name: str, track: str, seats: int, port: int = PORT) -> ClassPlan:
    """A new class of so many seats. Raises UsageError for what cannot be one."""
    check_lab_name(name, "class")
    if not 1 <= seats <= MOST:
        raise UsageError(f"a class has 1 to {MOST} seats, not {seats}")
    if not 1 <= port <= 65535:
        raise UsageError(f"a port is 1 to 65535, not {port}")
    first = _first_seed(name)
    made = [
        SeatPlan(number, first + number, secrets.token_urlsafe(16), secrets.token_urlsafe(16))
        for number in range(1, seats + 1)
    ]
    return ClassPlan(name, track, port, secrets.token_urlsafe(16), made)


def write_plan(plan: ClassPlan) -> bytes:
    """As the file that `read_plan` reads."""
    return msgspec.json.format(msgspec.json.encode(plan)) + b"\n"


def read_plan(path: Path) -> ClassPlan:
    """Raises EnvironmentProblem for a file that cannot be read, or is no class."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClassPlan)
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise EnvironmentProblem(f"{path}: this is no class: {error}") from error


def _first_seed(name: str) -> int:
    drawn = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(drawn[:8], "big") % SEEDS
