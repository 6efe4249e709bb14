"""The queue: the way in, when each message is tried, what an attempt comes to, notifications."""
