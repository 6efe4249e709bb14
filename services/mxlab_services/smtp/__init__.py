"""SMTP: the grammar of commands; in by `server`, out by `client`."""
