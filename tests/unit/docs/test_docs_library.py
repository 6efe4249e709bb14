"""docs/library.md is what the data and the code say, and the data is about runs that there are."""

from mxlab.model.software import OURS
from mxlab.scenario.load import load, scenario_ids
from tests.support.library import PAGE, cases, known, page


def test_the_page_is_made_from_the_data() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.support.library"


def test_each_run_is_known_once_and_can_be() -> None:
    named = [
        (o.scenario, host, product) for o in known() for host in o.hosts for product in o.products
    ]
    assert len(named) == len(set(named))
    runs = {(c.scenario, c.host, c.product) for c in cases() if c.comes != "unsupported"}
    assert set(named) <= runs
    assert all(one.why for one in known())


def test_every_scenario_is_there_but_those_with_products_of_their_own() -> None:
    own = {name for name in scenario_ids() if set(load(name).topology.software.values()) != {OURS}}
    assert {one.scenario for one in cases()} == set(scenario_ids()) - own
    assert {(one.host, one.product) for one in cases()} >= {("mx2", "exim"), ("client", "postfix")}
