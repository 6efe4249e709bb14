"""Chaos: random schedules of outages against the simulation, and the smallest one that fails."""
