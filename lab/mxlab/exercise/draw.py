"""What an exercise leaves to be drawn, and a seat's draw: names and numbers, by the seed.

It works on the tree of the file: `{name}` in any text or number gives way to what was drawn, and
every place keeps its line. `{{primary}}` becomes `{mx1}`, which in a zone's record stands for the
address of that host. In the topology itself, hosts, domain and preferences may be written out:
what `vary` names is replaced there too, as whole words.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mxlab.errors import Mistakes, nearest
from mxlab.model.exercise import Draws, NumberRange, Vary
from mxlab.model.topology import Domain, Topology
from mxlab.scenario.load import read_topology
from mxlab.scenario.yaml import Tree, parse, read_value

DOMAINS = (
    "orchard.test", "harbour.test", "lantern.test", "meadow.test", "quarry.test", "willow.test",
    "kestrel.test", "saffron.test", "thistle.test", "cobalt.test", "juniper.test", "marble.test",
)  # fmt: skip
HOSTS = (
    "alder", "birch", "cedar", "dogwood", "elm", "fern", "gorse", "hazel", "ivy", "larch", "maple",
    "nettle", "oak", "pine", "rowan", "sorrel", "teasel", "vetch", "yarrow",
)  # fmt: skip
PEOPLE = ("bob", "carol", "dan", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory")
STEADY = {"n": "5", "m": "3"}  # where `counts` are not varied
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
PLAIN_LAB = "{domain: example.test, mx: [{host: mx1, preference: 10}, {host: mx2, preference: 20}]}"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A seat's values by name, its lab, and the file with them in place."""

    values: Mapping[str, str]
    topology: Topology
    tree: Tree


def drawn(tree: Tree, seed: int, exercise: str) -> Drawn:
    """The file of an exercise as the seat with that seed has it. Raises ScenarioError."""
    chance = random.Random(f"{exercise}:{seed}")
    entries = tree.items()
    vary: tuple[Vary, ...] = _given(entries, "vary", tuple[Vary, ...], ())
    lab = entries["topology"][1] if "topology" in entries else parse(PLAIN_LAB, tree.file)
    written: str = _given(lab.items(), "domain", Domain, Topology().domain)
    domain = chance.choice(DOMAINS) if "domain" in vary else written
    values = _own_draws(_given(entries, "draw", Draws, {}), chance) | {"domain": domain}
    values |= _counts(chance) if "counts" in vary else STEADY
    values |= _people(domain, chance if "recipients" in vary else None)
    plain = _filled(lab, values)
    shape = read_topology(plain)
    words = {written: domain} | _hosts(shape, chance if "hosts" in vary else None)
    numbers = _preferences(shape, chance if "preferences" in vary else None)
    shaped = _each_scalar(plain, _Renaming(words, numbers).of)
    topology = read_topology(shaped)
    values |= _of_the_lab(topology)
    _refuse_unknown(tree, values, topology)
    return Drawn(values, topology, _filled(tree, values))


def _given(entries: Mapping[str, tuple[Tree, Tree]], key: str, kind: Any, without: Any) -> Any:
    return read_value(entries[key][1], kind) if key in entries else without


def _own_draws(draws: Draws, chance: random.Random) -> dict[str, str]:
    def one(choice: tuple[str | int, ...] | NumberRange) -> str:
        if isinstance(choice, NumberRange):
            return str(chance.randint(choice.least, max(choice.least, choice.most)))
        return str(chance.choice(choice)) if choice else ""

    return {name: one(choice) for name, choice in draws.items()}


def _counts(chance: random.Random) -> dict[str, str]:
    n, m = chance.sample(range(3, 10), 2)
    return {"n": str(n), "m": str(m)}


def _people(domain: str, chance: random.Random | None) -> dict[str, str]:
    """Three recipients, by the names that texts give them: `{bob}` an address, `{bob_name}` the
    part before the @."""
    texts = PEOPLE[:3]
    names = chance.sample(PEOPLE, len(texts)) if chance else texts
    found = dict(zip(texts, names, strict=True))
    return {f"{text}_name": name for text, name in found.items()} | {
        text: f"{name}@{domain}" for text, name in found.items()
    }


def _hosts(topology: Topology, chance: random.Random | None) -> dict[str, str]:
    """Each exchange of the lab -> its name in this seat."""
    names = tuple(exchange.host for exchange in topology.mx)
    taken = set(topology.hosts)
    free = [host for host in HOSTS if host not in taken]
    return dict(zip(names, chance.sample(free, len(names)), strict=True)) if chance else {}


def _preferences(topology: Topology, chance: random.Random | None) -> dict[str, str]:
    """Each preference of the lab's exchanges -> the one in this seat, in the same order."""
    old = sorted({exchange.preference for exchange in topology.mx})
    new = sorted(chance.sample(range(5, 100, 5), len(old))) if chance else old
    return {str(one): str(other) for one, other in zip(old, new, strict=True)}


@dataclass(frozen=True, slots=True)
class _Renaming:
    """Whole words -> other words, and numbers under the key `preference` -> other numbers."""

    words: Mapping[str, str]
    numbers: Mapping[str, str]

    def of(self, key: str, text: str) -> str:
        if key == "preference":
            return self.numbers.get(text, text)
        if not self.words:
            return text
        some = "|".join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))
        return re.sub(rf"(?<![\w-])({some})(?![\w-])", lambda m: self.words[m[1]], text)


def _of_the_lab(topology: Topology) -> dict[str, str]:
    """The names of what every lab has: `primary`, `backup`, `backup2` ..., each also with
    `_preference`; `client`, `client_domain`, `alice`, `dns`."""
    best = sorted(topology.mx, key=lambda exchange: exchange.preference)
    roles = ["primary", "backup", *(f"backup{n}" for n in range(2, len(best)))]
    found: dict[str, str] = {}
    for role, exchange in zip(roles, best, strict=False):
        found |= {role: exchange.host, f"{role}_preference": str(exchange.preference)}
    return found | {
        "client": topology.client,
        "client_domain": topology.client_domain,
        "alice": f"alice@{topology.client_domain}",
        "dns": topology.dns_hosts[0],
    }


def _refuse_unknown(tree: Tree, values: Mapping[str, str], topology: Topology) -> None:
    """Raise ScenarioError for each `{name}` of which nothing is known."""
    mistakes, known = Mistakes(), {*values, *topology.hosts}
    for scalar in _scalars(tree):
        for name in PLACEHOLDER.findall(scalar.node.value):
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {{{near}}}? " if near else ""
                listing = ", ".join(sorted(values))
                mistakes.add(scalar.error(f"{{{name}}} is not known", f"{hint}known: {listing}"))
    mistakes.check()


def _scalars(tree: Tree) -> Iterator[Tree]:
    if isinstance(tree.node, yaml.ScalarNode):
        yield tree
    elif tree.is_mapping:
        for _, value in tree.items().values():
            yield from _scalars(value)
    else:
        for element in tree.elements():
            yield from _scalars(element)


def _filled(tree: Tree, values: Mapping[str, str]) -> Tree:
    def fill(_key: str, text: str) -> str:
        return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

    return _each_scalar(tree, fill)


def _each_scalar(tree: Tree, change: Callable[[str, str], str]) -> Tree:
    """A copy in which each scalar is as `change(its key, its text)` says. What was nothing but one
    placeholder has the type of what took its place."""

    def copied(node: yaml.Node, key: str) -> yaml.Node:
        where = node.start_mark, node.end_mark
        if isinstance(node, yaml.ScalarNode):
            text = change(key, node.value)
            tag = node.tag
            if text != node.value and (node.style is None or PLACEHOLDER.fullmatch(node.value)):
                tag = _type_of(text)
            return yaml.ScalarNode(tag, text, *where, style=node.style)
        if isinstance(node, yaml.MappingNode):
            pairs = [(name, copied(value, str(name.value))) for name, value in node.value]
            return yaml.MappingNode(node.tag, pairs, *where, flow_style=node.flow_style)
        assert isinstance(node, yaml.SequenceNode)
        items = [copied(item, key) for item in node.value]
        return yaml.SequenceNode(node.tag, items, *where, flow_style=node.flow_style)

    return Tree(copied(tree.node, tree.name), tree.file, tree.name)


def _type_of(text: str) -> str:
    """The tag that a plain scalar has by its text."""
    node = yaml.compose(text, yaml.SafeLoader)
    return node.tag if isinstance(node, yaml.ScalarNode) else "tag:yaml.org,2002:str"
