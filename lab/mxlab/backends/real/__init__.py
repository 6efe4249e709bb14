"""What backends of real programs share."""
