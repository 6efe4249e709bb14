"""Puts the glue right in the zone above. A backend chooses the addresses: no file can say them."""

from mxlab_services.control.requests import ZoneUpdate


async def right_glue(lab):
    servers = ("ns1", "ns2")
    lines = [f"{host}.example.test. A {lab.nodes[host].config.address}" for host in servers]
    await lab.nodes["tld"].request(ZoneUpdate("test", lines, ["ns1.example.test. A"]))
