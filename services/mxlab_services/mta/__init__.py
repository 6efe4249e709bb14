"""One MTA: an edge that accepts, a durable spool, routing by MX, a relay, and a scheduler."""
