"""An outage of one's own set-up, rehearsed in the simulation."""
