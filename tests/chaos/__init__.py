"""Break the real thing on purpose: processes, servers and connections, under load. `make chaos`, SECONDS=120."""
