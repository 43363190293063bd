"""The co-simulation engine: scenarios, connections, exchange, hosts, recording and checkpoints."""
