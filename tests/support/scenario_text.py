"""Pieces of a scenario's file."""

HEAD = "mxlab: 1\ntitle: t\nsteps:\n"
SEND = "  - send: {id: batch, from: alice@client.test, to: bob@example.test}\n"
END = "expect: [nothing-lost]\n"
