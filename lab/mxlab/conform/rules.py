"""All rules, each once, in the order in which they are told: of a server that takes mail, and of
one that sends it on."""

from mxlab.conform.addresses import ADDRESSES
from mxlab.conform.content import CONTENT
from mxlab.conform.extensions import EXTENSIONS
from mxlab.conform.outcomes import OUTCOMES
from mxlab.conform.place import Surroundings
from mxlab.conform.reports import REPORTS
from mxlab.conform.routes import ROUTES
from mxlab.conform.rule import ConformRule
from mxlab.conform.server import TestedServer
from mxlab.conform.session import SESSION
from mxlab.conform.wire import WIRE

TAKING: dict[str, ConformRule[TestedServer]] = {
    **SESSION.rules,
    **ADDRESSES.rules,
    **CONTENT.rules,
    **EXTENSIONS.rules,
}
SENDING: dict[str, ConformRule[Surroundings]] = {
    **ROUTES.rules,
    **WIRE.rules,
    **OUTCOMES.rules,
    **REPORTS.rules,
}
