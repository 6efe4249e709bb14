"""The faults inside a node: from what a scenario says to what the node is told. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mxlab.errors import UsageError
from mxlab.model.mechanism import Mechanism
from mxlab.model.mechanism import inner as model
from mxlab_services.faults.kinds import AnyFault, Select, problem

_SOME_ADDRESS = "192.0.2.1"  # in the place of a host's that is not known yet
_SELECTORS = frozenset(Select.__struct_fields__)


def to_service(mechanism: Mechanism, addresses: Mapping[str, str] | None = None) -> AnyFault:
    """The node's value of it; `addresses`: of the lab's hosts, which may be named as peers.

    Raises UsageError for one that cannot be.
    """

    def address(peer: str) -> str:
        if not model.is_host(peer):
            return peer
        return _SOME_ADDRESS if addresses is None else addresses[peer]

    given: dict[str, Any] = {}
    select: dict[str, Any] = {}
    for name in mechanism.__struct_fields__:
        value = getattr(mechanism, name)
        if name == "peer" and value is not None:
            value = address(value)
        elif name == "exempt":
            value = tuple(map(address, value))
        if name in _SELECTORS:
            if value is not None:
                select[name] = value
        elif name != "host":
            given[name] = value
    if select:
        given["select"] = select
    if isinstance(mechanism, model.TlsBroken) and mechanism.how != "handshake-cut":
        from mxlab.faults.certificates import broken_certificate

        given["certificate"], given["key"] = broken_certificate(mechanism.how)
    try:
        fault: AnyFault = msgspec.convert({"kind": mechanism.kind, **given}, AnyFault)
    except msgspec.ValidationError as error:
        raise UsageError(f"{mechanism.kind}: {_words(str(error))}") from error
    wrong = problem(fault)
    if wrong:
        raise UsageError(wrong)
    return fault


def _words(error: str) -> str:
    """What msgspec says of a value, for people."""
    text, _, path = error.partition(" - at `$.")
    text = text.replace("`int`", "a whole number").replace("`float`", "a number")
    text = text.replace("`str`", "text")
    key = path.rstrip("`").removeprefix("select.")
    return f"`{key}`: {text[0].lower()}{text[1:]}" if key else text


def problem_of(mechanism: Mechanism) -> str | None:
    """What is wrong with a fault's parameters; None where they make sense."""
    if isinstance(mechanism, model.InnerFault):
        try:
            to_service(mechanism)
        except UsageError as error:
            return str(error)
    return None
