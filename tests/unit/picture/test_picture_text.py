"""The picture of a lab in plain text, as `mxlab status` and `mxlab graph` show it."""

from mxlab.model.topology import Client, Exchange, NameServer, RelayHost, Topology
from mxlab.picture.diagram import Diagram, HostNow, diagram_of, planned
from mxlab.picture.text import text_picture

LAB = Topology(mx=(Exchange("mx2", 20), Exchange("mx1", 5), Exchange("mail-three", 100)))
NOW = {
    "dns": HostNow("running"),
    "mx2": HostNow("running", 12),
    "mx1": HostNow("stopped"),
    "mail-three": HostNow("paused"),
    "client": HostNow("running", 3),
}


def drawn(topology: Topology, now: dict[str, HostNow] | None = None) -> Diagram:
    return diagram_of(topology, "a lab", planned(topology, "10.0.0.0/24"), now)


def lines(diagram: Diagram, addresses: bool = False) -> list[str]:
    return [line.text for line in text_picture(diagram, addresses)]


def test_it_shows_preference_state_and_queue_in_the_order_of_trying() -> None:
    assert lines(drawn(LAB, NOW)) == [
        "client: running, 3 queued",
        "  |--   5 --x mx1         stopped; delivers for example.test",
        "  |--  20 --> mx2         running, 12 queued; keeps mail for mx1",
        "  |-- 100 --x mail-three  paused; keeps mail for mx1",
        "dns: running; tells all where to go",
    ]


def test_a_lab_that_is_not_up_has_its_addresses() -> None:
    assert lines(drawn(Topology()), addresses=True) == [
        "client: 10.0.0.5",
        "  |-- 10 --> mx1  10.0.0.3; delivers for example.test",
        "  |-- 20 --> mx2  10.0.0.4; keeps mail for mx1",
        "dns: 10.0.0.2; tells all where to go",
    ]


def test_a_further_line_is_indented_to_where_the_text_begins() -> None:
    text, hang = text_picture(drawn(LAB, NOW))[1]
    assert text[:hang] == "  |--   5 --x mx1         "


def test_imap_servers_stand_beside_the_nodes() -> None:
    found = lines(drawn(Topology(imap=True), {"imap": HostNow("stopped")}))
    assert "imap: stopped; shows the mailboxes of mx1" in found


def test_whose_mail_server_a_node_is_stands_with_it() -> None:
    topology = Topology(mx=(Exchange("mx1", 10, software="postfix"),), client_software="exim")
    assert lines(drawn(topology))[:2] == [
        "client (Exim): ",
        "  |-- 10 --> mx1  delivers for example.test with Postfix",
    ]
    told = lines(drawn(topology, {"client": HostNow("running", 0, "exim 4.96")}))
    assert told[0] == "client (exim 4.96): running, 0 queued"


def test_relays_and_name_servers_say_what_they_do() -> None:
    topology = Topology(
        smarthost="out",
        relays=(RelayHost("out", "relay.test", ("client",)),),
        clients=(Client("second", "second.test"),),
        dns=(NameServer("ns1", ("example.test",)), NameServer("ns2", (), ("example.test",))),
    )
    found = lines(drawn(topology), addresses=True)
    assert "client: 10.0.0.7; all goes to out" in found
    assert "out: 10.0.0.6; takes mail for anywhere; from client only" in found
    assert any(one.startswith("ns2: ") and "secondary of example.test" in one for one in found)
