"""A run: steps played, events watched, queues drained, all undone, then judged."""
