"""config: a node's settings, shown and changed while it runs, with postconf's habits."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import node_names, setting_keys
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import say, say_json, say_line
from mxlab.cli.running import attached, work
from mxlab.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab_services.control.replies import Setting


def register(app: typer.Typer) -> None:
    app.command()(config)


def config(
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="Whose settings.", autocompletion=node_names)
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY...|KEY=VALUE...]", help="Which (all).", autocompletion=setting_keys
        ),
    ] = None,
    different: Annotated[
        bool, typer.Option("-n", "--different", help="Only what is not at its default.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Put them (all) back to what the lab came up with.")
    ] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Show a node's settings, or change those of a running MTA: all that are named, or none.

    For example: mxlab config mx1 limits.message_size=1000000; mxlab config client
    timeouts.greeting=5m retry.schedule=postfix. They are kept over a restart of the node.
    """
    given = words or []
    pairs = [word.partition("=") for word in given]
    changes = {key: value for key, equals, value in pairs if equals}
    if len({key for key, *_ in pairs}) < len(pairs):
        raise UsageError("a setting stands there twice", "name each once")
    if changes and (len(changes) < len(given) or different or reset):
        raise UsageError("show or change: not both at once", "KEY=VALUE and nothing else changes")
    if changes:
        work(_change(node, changes, lab, json))
    elif reset:
        work(_reset(node, given, lab, json))
    else:
        work(_show(node, given, different, lab, json))


async def _show(name: str, keys: list[str], different: bool, lab_name: str, json: bool) -> None:
    from mxlab.operate.nodes import node_called
    from mxlab_services.control.requests import ConfigList

    async with attached(lab_name) as lab:
        found = await node_called(lab, name).request(ConfigList())
    by_key = {setting.key: setting for setting in found}
    for key in keys:
        if key not in by_key:
            raise UnknownName("setting", key, by_key)
    shown = [by_key[key] for key in keys] or found
    shown = [setting for setting in shown if setting.differs or not different]
    if json:
        say_json(shown)
        return
    from mxlab.scenario.settings import written

    for setting in shown:
        say_line(f"{setting.key} = {written(setting.value)}")


async def _change(name: str, changes: dict[str, str], lab_name: str, json: bool) -> None:
    from mxlab.operate.nodes import node_called
    from mxlab.operate.settings import change_settings

    async with attached(lab_name) as lab:
        before, after = await change_settings(node_called(lab, name), changes)
    _say_changes(before, after, json)


async def _reset(name: str, keys: list[str], lab_name: str, json: bool) -> None:
    from mxlab.operate.nodes import node_called
    from mxlab_services.control.requests import ConfigChange, ConfigList

    async with attached(lab_name) as lab:
        node = node_called(lab, name)
        before = {setting.key: setting for setting in await node.request(ConfigList())}
        for key in keys:
            if key not in before:
                raise UnknownName("setting", key, before)
            if why := before[key].fixed:
                raise UsageError(f"{key} of {name} cannot be changed", why)
        every = [key for key, setting in before.items() if not setting.fixed]
        after = await node.request(ConfigChange(reset=keys or every))
    changed = [one for one in after if keys or one.value != before[one.key].value]
    _say_changes(before, changed, json)


def _say_changes(before: "dict[str, Setting]", after: "list[Setting]", json: bool) -> None:
    from mxlab.scenario.settings import written

    if json:
        say_json([{"key": s.key, "value": s.value, "was": before[s.key].value} for s in after])
        return
    for setting in after:
        was = written(before[setting.key].value)
        say_line(f"{setting.key} = {written(setting.value)} (was {was})")
    if not after:
        say("nothing was changed")
