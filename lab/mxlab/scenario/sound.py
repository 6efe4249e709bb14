"""What is wrong with a scenario that its types let pass: references that lead nowhere, and mail
addresses and domains that no server may take. Pure."""

from collections.abc import Iterator

from mxlab.model.condition import AnyCondition, Mailbox
from mxlab.model.scenario import Problem, Scenario, problems, steps_path, walk
from mxlab.model.step import Dns, Etrn, Eventually, Never, Send
from mxlab_services.address import problem_of
from mxlab_services.domain import DomainError, checked

Path = tuple[str | int, ...]


def unsound(scenario: Scenario) -> list[Problem]:
    """All problems: references first, then addresses, each in the order of the file."""
    return [*problems(scenario), *_names(scenario)]


def _names(scenario: Scenario) -> Iterator[Problem]:
    for path, step in walk(scenario.steps):
        where = (*steps_path(path), step.key)
        match step:
            case Send():
                yield from _address((*where, "from"), step.sender, null=True)
                if isinstance(step.recipients, str):
                    yield from _address((*where, "to"), step.recipients)
                else:
                    for number, address in enumerate(step.recipients):
                        yield from _address((*where, "to", number), address)
            case Eventually(condition=condition) | Never(condition=condition):
                yield from _condition(where, condition)
            case Etrn(domain=str(domain)):
                yield from _domain((*where, "domain"), domain)
            case Dns(origin=str(domain)):
                yield from _domain((*where, "origin"), domain)
            case _:
                pass
    for number, item in enumerate(scenario.expect):
        if not isinstance(item, str):
            yield from _condition(("expect", number), item)


def _condition(where: Path, condition: AnyCondition) -> Iterator[Problem]:
    if isinstance(condition, Mailbox):
        yield from _address((*where, condition.key, "address"), condition.address)


def _address(path: Path, address: str, *, null: bool = False) -> Iterator[Problem]:
    if null and not address:
        return
    # Control characters are told where the file is read.
    if address.isprintable() and (wrong := problem_of(address)):
        yield Problem(path, f"{address[:80]!r} is no mail address: {wrong.text}")


def _domain(path: Path, domain: str) -> Iterator[Problem]:
    try:
        checked(domain)
    except DomainError as error:
        yield Problem(path, f"no domain: {error}")
