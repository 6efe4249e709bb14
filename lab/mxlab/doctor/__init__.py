"""What works on this machine, and each fault tried in each backend."""
