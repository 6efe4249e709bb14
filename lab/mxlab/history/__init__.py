"""What happened: the nodes' events merged, the evidence, the ledger, each message's biography."""
