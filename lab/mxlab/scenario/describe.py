"""A scenario's story in plain words, as one would tell it before it runs. Pure."""

from collections.abc import Iterator, Mapping

from mxlab.checks.registry import CHECKS
from mxlab.faults import fault_called
from mxlab.model.duration import format_duration
from mxlab.model.scenario import Scenario, walk
from mxlab.model.software import OURS, SOFTWARE
from mxlab.model.step import (
    AnyStep,
    Ask,
    Config,
    Dns,
    Etrn,
    Eventually,
    Fault,
    Heal,
    Never,
    Parallel,
    Python,
    Say,
    Send,
    Wait,
)
from mxlab.model.submitting import Submitting
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab_services.config import Software


def lab_of(scenario: Scenario) -> str:
    """The lab in a sentence or two."""
    topology = scenario.topology
    taken = " ".join(map(_taken, topology.mail_domains))
    return f"{taken} {_senders(topology)}, and {_asks(topology)}."


def _senders(topology: Topology) -> str:
    if not topology.clients:
        whose = _whose(topology.client_software).removeprefix(", ")
        return f"{topology.client}{f' ({whose})' if whose else ''} sends it"
    named = [f"{s.host} (of {s.domain}{_whose(s.software)})" for s in topology.senders]
    return f"{', '.join(named[:-1])} and {named[-1]} send it"


def _taken(domain: MailDomain) -> str:
    exchanges = [
        f"{e.host} ({'primary' if e.host in domain.primaries else 'backup'}, "
        f"preference {e.preference}{_whose(e.software)}{_own(e)})"
        for e in domain.mx
    ]
    count = "one mail exchanger" if len(exchanges) == 1 else f"{len(exchanges)} mail exchangers"
    return f"Mail for {domain.domain} is taken by {count}: {', '.join(exchanges)}."


def _whose(software: Software) -> str:
    """Whose mail server it is, where it is not ours."""
    return "" if software == OURS else f", {SOFTWARE[software].title}"


def _own(exchange: Exchange) -> str:
    """What is set in its product's own words."""
    names = ", ".join(exchange.product_settings)
    return f" with its own {names}" if names else ""


def _asks(topology: Topology) -> str:
    if relay := topology.smarthost:
        way = [relay]
        while (onward := topology.smarthost_of(way[-1])) and onward not in way:
            way.append(onward)
        return f"hands all of it to {', which hands it to '.join(way)}"
    if not topology.walks_from_root:
        return f"asks {topology.dns_host} where to"
    served = ", ".join(topology.dns_hosts)
    return f"finds out where to from the root of the lab's name servers: {served}"


def story(scenario: Scenario) -> list[str]:
    """A line for each step, in order; steps that run side by side are indented below theirs."""
    faults = {step.id: step for _, step in walk(scenario.steps) if isinstance(step, Fault)}
    return [line for step in scenario.steps for line in _lines(step, faults)]


def expectations(scenario: Scenario) -> list[str]:
    """A line for each expectation."""
    return [
        f"{item}: {CHECKS[item].meaning}" if isinstance(item, str) else str(item)
        for item in scenario.expect
    ]


def _lines(step: AnyStep, faults: Mapping[str, Fault]) -> Iterator[str]:
    match step:
        case Parallel(steps=steps):
            yield "At the same time:"
            for inner in steps:
                yield from (f"  - {line}" for line in _lines(inner, faults))
        case _:
            yield _sentence(step, faults)


def _sentence(step: AnyStep, faults: Mapping[str, Fault]) -> str:
    match step:
        case Say(text=text):
            return f"“{text.strip()}”"
        case Ask(question=question):
            return f"A question to you: {question}"
        case Send():
            return _sent(step)
        case Fault(id=name, mechanism=mechanism):
            summary = fault_called(mechanism.kind).summary
            return f"Fault {name} ({mechanism}): {summary[:1].lower()}{summary[1:]}"
        case Heal(fault=name):
            what = f": {faults[name].mechanism.host} is as before" if name in faults else ""
            return f"{name} is healed{what}."
        case Wait(seconds=seconds):
            return f"{format_duration(seconds)} of lab time go by."
        case Eventually(condition=condition, within=within):
            return f"Within {format_duration(within)} {condition}."
        case Never(condition=condition, during=during):
            return f"For {format_duration(during)} it must not happen that {condition}."
        case Etrn(host=host, asks=asks, reply=reply):
            answer = f"; the answer is to be {reply}" if reply else ""
            what = f"its mail for {step.domain or 'the domain'}"
            return f"{host} asks {asks} by ETRN to send {what} now{answer}."
        case Dns():
            at = f" at {step.server}" if step.server else ""
            return f"The zone {step.origin or 'of the domain'} changes{at}: {_changes(step)}."
        case Config(host=host):
            what = str(step).partition(": ")[2]
            return f"Settings of {host} are changed while it runs: {what}."
        case Python(target=target):
            return f"The author's own function {target} runs."
        case Parallel():
            return str(step)


def _sent(step: Send) -> str:
    what = "One message goes" if step.count == 1 else f"{step.count} messages go"
    if step.eml:
        what = f"The message in {step.eml} goes"
    who = step.reverse_path or "the null sender (<>), to whom nothing is ever reported,"
    through = f" through {step.via}" if step.via else ""
    told = "Its sender" if step.count == 1 else "Their sender"
    wishes, back = step.wishes, step.ret
    wish = f" {told} wants to hear of {', '.join(wishes)}." if wishes else ""
    if wishes == ("never",):
        wish = f" {told} never wants to hear of it."
    if back:
        much = "the whole message" if back == "full" else "the header alone"
        wish += f" A report of failure is to bring {much} back."
    if step.submission is not None:
        wish += f" {_handed_in(step.submission)}"
    return f"{what} from {who} to {', '.join(step.addresses)}{through} ({step.id}).{wish}"


def _handed_in(how: Submitting) -> str:
    """How a program does it, and what is to come of it."""
    who = f"as {how.user}" if how.user is not None else "without saying who it is"
    word = " with a password of its own" if how.password is not None else ""
    tls = "" if how.tls else ", without TLS"
    text = f"A program hands it in on port {how.port} {who}{word}{tls}"
    if how.tries > 1:
        text += f", at most {how.tries} times, {format_duration(how.pauses)} apart"
    return f"{text}; it is to be refused with {how.refused}." if how.refused else f"{text}."


def _changes(step: Dns) -> str:
    if step.zone is not None:
        return "it is replaced"
    gone = [f"{line!r} goes" for line in step.remove]
    return ", ".join([*gone, *(f"{line!r} comes" for line in step.add)]) or "nothing"
