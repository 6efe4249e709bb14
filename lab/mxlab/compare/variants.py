"""A story's variants: each choice of mail servers with each retry schedule. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec

from mxlab.errors import UnknownName, UsageError
from mxlab.model.scenario import Scenario
from mxlab.plan.software import with_software
from mxlab_services.queue.retry import SCHEDULES

MOST = 32  # variants of one comparison


@dataclass(frozen=True, slots=True)
class Variant:
    """`label` says what is unlike the others: `mx2=exim, schedule exim`."""

    label: str
    scenario: Scenario


def parse_choices(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Host -> the softwares to try there, of words like `mx2=postfix,exim`; a host may be named
    again. Raises UsageError."""
    wanted: dict[str, tuple[str, ...]] = {}
    for word in words:
        host, _, names = word.partition("=")
        several = tuple(name for name in names.split(",") if name)
        if not (host and several):
            text = f"--with: {word!r} is not HOST=SOFTWARE[,SOFTWARE...]"
            raise UsageError(text, "as in --with mx2=postfix,exim")
        wanted[host] = tuple(dict.fromkeys((*wanted.get(host, ()), *several)))
    return wanted


def variants(
    scenario: Scenario, choices: Mapping[str, Sequence[str]], schedules: Sequence[str]
) -> list[Variant]:
    """Every combination, in the order given; the story as it is, where nothing is chosen. Raises
    UnknownName, UsageError."""
    for name in schedules:
        if name not in SCHEDULES:
            raise UnknownName("retry schedule", name, SCHEDULES)
    found = []
    for softwares in product(*choices.values()):
        software = dict(zip(choices, softwares, strict=True))
        for schedule in schedules or (None,):
            topology = with_software(scenario.topology, software)
            words = [f"{host}={name}" for host, name in software.items()]
            if schedule is not None:
                topology = msgspec.structs.replace(topology, schedule=schedule)
                words.append(f"schedule {schedule}")
            varied = msgspec.structs.replace(scenario, topology=topology)
            found.append(Variant(", ".join(words) or "as it is", varied))
    if len(found) > MOST:
        raise UsageError(f"{len(found)} variants are too many to compare; {MOST} at most")
    return found
