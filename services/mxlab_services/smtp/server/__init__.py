"""SMTP in, on aiosmtpd: what is accepted from whom, and the faults that strike there."""
