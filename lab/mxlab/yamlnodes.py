"""YAML text as a tree whose every node knows its line, and trees read into typed structs.

Every error is a ScenarioError with file, line, column and the key. Nothing is guessed: no repeated
keys, no unknown keys, no text where a number belongs.
"""

import difflib
import functools
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import msgspec
import yaml

from mxlab.errors import ScenarioError

Reader = Callable[["Tree"], Any]
_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}  # fmt: skip


class Tree:
    """One node of a YAML document; `name` is the key or the place by which errors call it."""

    def __init__(self, node: yaml.Node, file: str, name: str) -> None:
        self.node, self.file, self.name = node, file, name
        self.line: int = node.start_mark.line + 1

    def fail(self, message: str, hint: str = "") -> NoReturn:
        raise self.error(message, hint)

    def error(self, message: str, hint: str = "") -> ScenarioError:
        """The error that says so of this place."""
        mark = self.node.start_mark
        text = f"`{self.name}`: {message}" if self.name else message
        return ScenarioError(
            text, file=self.file, line=mark.line + 1, column=mark.column + 1, hint=hint
        )

    def items(self) -> dict[str, tuple["Tree", "Tree"]]:
        """The entries of a mapping: key -> (the key itself, its value)."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"expected a mapping (key: value), not {self._shape()}")
        found: dict[str, tuple[Tree, Tree]] = {}
        for key_node, value_node in self.node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                Tree(key_node, self.file, self.name).fail("a key must be a word")
            name = key_node.value
            key = Tree(key_node, self.file, name)
            if name in found:
                key.fail(f"the key stands here twice, first in line {found[name][0].line}")
            found[name] = (key, Tree(value_node, self.file, name))
        return found

    def elements(self) -> list["Tree"]:
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail(f"expected a list (lines that start with -), not {self._shape()}")
        return [
            Tree(node, self.file, f"{self.name}[{number}]")
            for number, node in enumerate(self.node.value, 1)
        ]

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    def plain(self) -> Any:
        """The value as Python data."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, (_, value) in self.items().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [element.plain() for element in self.elements()]
        try:
            return _Values.construct_scalar_as_value(self.node)
        except (ValueError, yaml.YAMLError) as error:
            self.fail(f"not a value: {error}")

    def at(self, path: Iterable[str | int]) -> "Tree":
        """The node to which a path of keys and numbers leads, as far as it leads."""
        here = self
        for part in path:
            if isinstance(part, str) and here.is_mapping and part in here.items():
                here = here.items()[part][1]
            elif isinstance(part, int) and isinstance(here.node, yaml.SequenceNode):
                here = here.elements()[part]
            else:
                break
        return here

    def _shape(self) -> str:
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else repr(self.node.value)


class _Values(yaml.SafeLoader):
    @classmethod
    def construct_scalar_as_value(cls, node: yaml.Node) -> Any:
        return cls("").construct_object(node, deep=True)


def parse(text: str, file: str) -> Tree:
    """The tree of a YAML document."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError(f"not YAML: {problem}", file=file, line=line, column=column) from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"not YAML: {error}", file=file) from error
    if node is None:
        raise ScenarioError("the file is empty", file=file, hint="start with `mxlab: 1`")
    _refuse_cycles(node, file, frozenset())
    return Tree(node, file, "")


def _refuse_cycles(node: yaml.Node, file: str, above: frozenset[int]) -> None:
    if id(node) in above:
        Tree(node, file, "").fail("this anchor contains itself")
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                _refuse_cycles(part, file, above | {id(node)})


def read_struct(
    tree: Tree,
    kind: type[Any],
    special: dict[str, Reader],
    *,
    extra: Iterable[str] = (),
    hidden: Iterable[str] = (),
) -> dict[str, Any]:
    """The fields of struct `kind` in a mapping, as keyword arguments, by field name.

    `special` reads the fields that need more than a type; keys in `extra` are allowed and left to
    the caller, fields in `hidden` are for no file to give.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    allowed = {key for key, f in fields.items() if f.name not in hidden}
    values: dict[str, Any] = {}
    for key, (key_tree, value) in tree.items().items():
        if key in allowed:
            field = fields[key]
            reader = special.get(field.name)
            values[field.name] = reader(value) if reader else read_value(value, field.type)
        elif key not in extra:
            unknown_key(key_tree, [*allowed, *extra])
    for key, field in fields.items():
        if field.required and key in allowed and field.name not in values:
            tree.fail(f"the key `{key}` is missing")
    return values


def read_value(tree: Tree, kind: Any) -> Any:
    """A value of type `kind`: a struct, a tuple of such, or what msgspec can check by itself."""
    bare = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return bare(**read_struct(tree, bare, {}))
    arguments = typing.get_args(bare)
    if tree.plain() is None:
        tree.fail("expected a value, not nothing")
    if typing.get_origin(bare) is tuple and len(arguments) == 2:
        of = arguments[0]
        if isinstance(of, type) and issubclass(of, msgspec.Struct):
            values = tuple(read_value(element, of) for element in tree.elements())
            _check(tree, tree.plain(), kind)
            return values
    return _check(tree, tree.plain(), kind)


def _check(tree: Tree, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert({"value": value}, _box(kind), strict=True).value
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        numbers = [int(number) for number in re.findall(r"\[(\d+)\]", path)]
        where = tree.at(numbers)
        words = re.sub(r"`(\w+)`", lambda m: _WORDS.get(m[1], f"`{m[1]}`"), text)
        where.fail(words[0].lower() + words[1:])


@functools.cache
def _box(kind: Any) -> Any:
    """A struct around `kind`: msgspec 0.22 crashes when it converts to one bare type repeatedly."""
    return msgspec.defstruct("Box", [("value", kind)])


def unknown_key(key: Tree, known: Iterable[str]) -> NoReturn:
    """Refuse a key, with the nearest that is known."""
    names = sorted(known)
    near = difflib.get_close_matches(key.name, names, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    key.fail("unknown key", hint + f"known here: {', '.join(names)}")
