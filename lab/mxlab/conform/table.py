"""What each server does, as a page in Markdown: rule by rule, the servers side by side. Pure."""

import re
from collections.abc import Iterator, Sequence

from mxlab.conform.rule import KINDS
from mxlab.conform.trying import RuleResult, ServerResults
from mxlab.visible import visible

_MARK = re.compile(r"[\\`*_\[\]|#]")
MARKS = {"kept": "kept", "broken": "**broken**", "differs": "differs", "unseen": "–"}
SIDES = {"takes": "Taking mail", "sends": "Sending mail"}


def markdown(servers: Sequence[ServerResults]) -> str:
    """The tables of both sides, and under each what was seen where a rule was not just kept."""
    return "\n".join(line for side in SIDES for line in _side(side, servers))


def named(server: ServerResults) -> str:
    """The server and its version, for a heading."""
    return f"{server.name} {server.version}".strip()


def all_rules(servers: Sequence[ServerResults]) -> dict[str, RuleResult]:
    """Each rule that was tried with any of them, as it was declared."""
    return {rule.id: rule for server in servers for rule in server.rules}


def counts(server: ServerResults) -> str:
    """How many rules came to what, in words."""
    number = {kind: sum(one.result == kind for one in server.rules) for kind in KINDS}
    return ", ".join(f"{number[kind]} {word}" for kind, word in KINDS.items())


def _side(side: str, servers: Sequence[ServerResults]) -> Iterator[str]:
    servers = [one for one in servers if any(rule.side == side for rule in one.rules)]
    rules = [rule for rule in all_rules(servers).values() if rule.side == side]
    if not rules:
        return
    found = [{one.id: one for one in server.rules} for server in servers]
    yield f"## {SIDES[side]}\n"
    heads = (_plain(named(server)) for server in servers)
    yield _row(["rule", "source", "what is tried", *heads])
    yield _row(["---"] * (3 + len(servers)))
    for rule in rules:
        cells = (MARKS[own[rule.id].result] if rule.id in own else "" for own in found)
        yield _row([f"`{rule.id}`", rule.source, _plain(rule.tried), *cells])
    yield ""
    for server, own in zip(servers, found, strict=True):
        told = [own[rule.id] for rule in rules if rule.id in own and _worth(own[rule.id])]
        if told:
            yield f"### {_plain(named(server))}\n"
            yield from (f"- `{one.id}` {KINDS[one.result]}: {_plain(one.found)}" for one in told)
            yield ""


def _worth(result: RuleResult) -> bool:
    return result.result != "kept" and bool(result.found)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """The text as Markdown shows it: nothing in it is a mark."""
    return _MARK.sub(r"\\\g<0>", visible(text)).replace("<", "&lt;")
