"""audit: the operating guidelines, held against a running lab, a topology, or a zone file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.cli.completion import rule_names, scenario_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName, ScenarioFolder
from mxlab.cli.output import Waiting, note, say, say_json, say_line
from mxlab.cli.running import attached, work
from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, UsageError

if TYPE_CHECKING:
    from mxlab.audit.judging import Flaw, RuleOutcome
    from mxlab.audit.setup import AuditSetup
    from mxlab.audit.story import StoryAudit

MOST = 5  # flaws of a rule that are shown, unless all are asked for
_HANG = 9  # columns before a finding's text
_WHAT = typer.Argument(
    metavar="[FILE|SCENARIO]",
    help="A zone file (- is one, too), YAML with a topology, or a scenario; none: a running lab.",
    autocompletion=scenario_names,
)


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    what: Annotated[Path | None, _WHAT] = None,
    topology: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with a topology, as of `up`.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="DOMAIN", help="The zone's (default: its SOA's)."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="By this rule alone. Repeatable.", autocompletion=rule_names
        ),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", help="Of a scenario, judge each step too, in the simulation.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every finding, and what is kept.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The guidelines as a page.")] = False,
    scenarios: ScenarioFolder = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Judge a running lab, a topology or your own zone file by the rules for mail exchangers.

    Of a zone file only its text is read: nothing is asked of the real DNS, and no name of it goes
    anywhere. Exit code 1 where a rule of level error is broken; 0 else, with warnings too.
    """
    from mxlab.audit.page import markdown as page

    if markdown:
        if what or topology or origin or rule or play or json:
            raise UsageError("--markdown is the page of all rules", "leave out the rest")
        say(page().rstrip("\n"))
        return
    if what is not None and topology is not None:
        raise UsageError("name one thing to judge", f"{what}, or --topology {topology}")
    given = topology if what is None else what
    if play:
        _play(given, rule or [], scenarios, all_, json)
        return
    if given is None and origin is not None:
        raise UsageError("--origin is of a zone file", "name the file, too")
    if given is None:
        setup = work(_lab(lab))
    elif topology is not None:
        setup = _topology(topology)
    else:
        setup = _setup(given, origin, scenarios)
    _judge(setup, rule or [], all_, json)


async def _lab(name: str) -> "AuditSetup":
    from mxlab.audit.of_lab import setup_of_lab

    async with attached(name) as lab:
        with Waiting() as progress:
            progress("asking every host")
            return await setup_of_lab(lab)


def _setup(file: Path, origin: str | None, scenarios: Path | None) -> "AuditSetup":
    from mxlab.audit.of_zone import setup_of_zone
    from mxlab.cli.given import GivenZone, given_setup

    given = given_setup(file, origin, scenarios)
    if isinstance(given, GivenZone):
        return setup_of_zone(given.text, given.origin, given.file)
    return _topology(given.path)


def _topology(file: Path) -> "AuditSetup":
    from mxlab.audit.of_topology import place_in, setup_of_topology
    from mxlab.model.topology import Topology
    from mxlab.scenario.load import read_topology, topology_tree

    tree = topology_tree(file)
    topology = Topology() if tree is None else read_topology(tree)
    where = tree.file if tree else str(file)
    return setup_of_topology(topology, f"the topology of {where}", place_in(tree, where))


def _judge(setup: "AuditSetup", rules: list[str], everything: bool, json: bool) -> None:
    from mxlab.audit.every import hold

    outcomes = hold(setup, rules)
    if json:
        say_json(_document(setup, outcomes))
    else:
        _tell(setup, outcomes, everything)
    _end(outcomes)


def _end(outcomes: "list[RuleOutcome]") -> None:
    if any(one.flaws and one.level == "error" for one in outcomes):
        raise typer.Exit(EXIT_FAILED)


def _tell(setup: "AuditSetup", outcomes: "list[RuleOutcome]", everything: bool) -> None:
    from mxlab.audit.rule import LEVELS

    for text in setup.notes:
        note(f"mxlab: {text}")
    by_level = [one for level in LEVELS for one in outcomes if one.flaws and one.level == level]
    for one in by_level:
        shown = one.flaws if everything else one.flaws[:MOST]
        for flaw in shown:
            _show(one, flaw)
        if more := len(one.flaws) - len(shown):
            say_line(f"{'':{_HANG}}and {more} more: --all", hang=_HANG)
        _advise(one)
    _summary(outcomes, everything)


def _show(one: "RuleOutcome", flaw: "Flaw", when: str = "") -> None:
    say_line(f"{one.level:<{_HANG}}{flaw.place}: {flaw.text} ({one.id}){when}", hang=_HANG)


def _advise(one: "RuleOutcome") -> None:
    say_line(f"{'':{_HANG}}{one.rule.broken}", hang=_HANG)
    say_line(f"{'':{_HANG}}Mend: {one.rule.check.remedy}", hang=_HANG)


def _summary(outcomes: "list[RuleOutcome]", everything: bool) -> None:
    broken = [one for one in outcomes if one.outcome == "broken"]
    kept = [one for one in outcomes if one.outcome == "kept"]
    unseen = [one for one in outcomes if one.outcome == "not seen"]
    if broken:
        say()
    if everything:
        for one in kept:
            say_line(f"{'kept':<{_HANG}}{one.id}: {'; '.join(one.sound)}", hang=_HANG)
    elif kept:
        say_line(f"{'kept':<{_HANG}}{', '.join(one.id for one in kept)}", hang=_HANG)
    reasons: dict[str, list[str]] = {}
    for one in unseen:
        why = "; ".join(one.unseen if everything else one.unseen[:1])
        reasons.setdefault(why, []).append(one.id)
    for why, names in reasons.items():
        say_line(f"{'not seen':<{_HANG}}{', '.join(names)}: {why}", hang=_HANG)
    counts = f"{len(broken)} broken, {len(kept)} kept, {len(unseen)} not seen here"
    say_line(f"{_count(len(outcomes))}: {counts}; `mxlab explain RULE` says more of one")


def _document(setup: "AuditSetup", outcomes: "list[RuleOutcome]") -> dict[str, Any]:
    return {
        "judged": setup.what,
        "source": setup.source,
        "notes": setup.notes,
        "findings": [_finding(one, flaw) for one in outcomes for flaw in one.flaws],
        "kept": [{"rule": o.id, "seen": o.sound} for o in outcomes if o.outcome == "kept"],
        "not_seen": [{"rule": o.id, "why": o.unseen} for o in outcomes if o.outcome == "not seen"],
    }


def _finding(one: "RuleOutcome", flaw: "Flaw") -> dict[str, Any]:
    return {
        "rule": one.id, "level": one.level, "place": flaw.place, "text": flaw.text,
        "consequence": one.rule.broken, "mend": one.rule.check.remedy,
        "scenario": one.rule.scenario,
    }  # fmt: skip


def _play(
    name: Path | None, rules: list[str], scenarios: Path | None, everything: bool, json: bool
) -> None:
    from mxlab.audit.every import known_rules
    from mxlab.audit.story import flaws_of_story
    from mxlab.cli.stories import story_file
    from mxlab.scenario.load import load_file

    if name is None:
        raise UsageError("--play is of a scenario", "name its id or its file")
    wanted = known_rules(rules)
    scenario = load_file(story_file(str(name), scenarios))
    found = flaws_of_story(scenario, wanted)
    if json:
        rows = [_finding(f.outcome, f.flaw) | {"after_step": f.steps} for f in found.flaws]
        say_json({"judged": str(name), "findings": rows, "failed": found.failed})
    else:
        _tell_story(found, everything)
    if found.failed:
        note(f"mxlab: the story could not be played on: {found.failed}")
        raise typer.Exit(EXIT_INCONCLUSIVE)
    _end([one.outcome for one in found.flaws])


def _tell_story(found: "StoryAudit", everything: bool) -> None:
    told: set[str] = set()
    for one in found.flaws:
        when = f", after step {one.steps}" if one.steps else ", from the start"
        _show(one.outcome, one.flaw, when)
        if everything or one.outcome.id not in told:
            _advise(one.outcome)
        told.add(one.outcome.id)
    rules = len({one.outcome.id for one in found.flaws})
    say_line(f"{_count(rules)} broken at some time of the story")


def _count(rules: int) -> str:
    return f"{rules} rule{'s' * (rules != 1)}"
