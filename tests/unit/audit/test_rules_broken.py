"""Each rule is broken by what it says breaks it, and kept where that is mended: by topologies, by
zone files, and by the stories of our scenarios."""

from pathlib import Path

import pytest
import yaml

from mxlab.audit.every import hold
from mxlab.audit.judging import RuleOutcome
from mxlab.audit.of_topology import setup_of_topology
from mxlab.audit.of_zone import setup_of_zone
from mxlab.audit.rule import audit_rules
from mxlab.audit.story import flaws_of_story
from mxlab.model.topology import Topology
from mxlab.scenario.load import load, load_topology

RULES = audit_rules()
BY_TOPOLOGY = [name for name, rule in RULES.items() if rule.seen.mended is not None]
BY_ZONE = [name for name, rule in RULES.items() if rule.seen.zone]
# Their scenarios show what comes of it, by something else that comes to the same.
SHOWN_OTHERWISE = {
    "exchanges-apart": "both exchanges are killed; a lab has one network",
    "exchange-by-name": "the name in the MX record has no address either",
    "name-servers-apart": "the only name server stops; a lab has one network",
    "ttl-fits": "the TTL is a minute, and the old host is switched off before it is over",
    "no-open-relay": "somebody tries; the lab's hosts refuse",
}
IN_PRODUCTS = ("backup-forwards", "backup-keeps-trying", "postmaster-answers")


def _of(topology: Topology, name: str) -> RuleOutcome:
    (found,) = hold(setup_of_topology(topology, "it", str), [name])
    return found


@pytest.mark.parametrize("name", BY_TOPOLOGY)
def test_a_topology_breaks_it_and_another_keeps_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    outcomes = []
    for given in (RULES[name].seen.topology, RULES[name].seen.mended):
        file.write_text(yaml.safe_dump(given))
        outcomes.append(_of(load_topology(file), name).outcome)
    assert outcomes == ["broken", "kept"]


@pytest.mark.parametrize("name", BY_ZONE)
def test_a_zone_breaks_it_and_another_keeps_it(name: str) -> None:
    seen = RULES[name].seen
    outcomes = [
        hold(setup_of_zone(text, "example.test.", "f"), [name])[0].outcome
        for text in (seen.zone, seen.mended_zone)
    ]
    assert outcomes[0] == "broken"
    assert outcomes[1] == "kept"


def test_every_rule_is_tried_in_some_way() -> None:
    for name, rule in RULES.items():
        ways = bool(rule.seen.zone), bool(rule.seen.mended), bool(rule.seen.mends)
        assert sum(ways) == 1, name


@pytest.mark.parametrize("name", [name for name in RULES if name not in SHOWN_OTHERWISE])
def test_its_scenario_breaks_it(name: str) -> None:
    scenario = load(RULES[name].scenario)
    if name in IN_PRODUCTS:  # the simulation has none
        assert _of(scenario.topology, name).flaws
    else:
        assert flaws_of_story(scenario, [name]).flaws


@pytest.mark.parametrize("name", SHOWN_OTHERWISE)
def test_what_is_shown_otherwise_is_not_broken_by_its_scenario(name: str) -> None:
    assert not flaws_of_story(load(RULES[name].scenario), [name]).flaws
