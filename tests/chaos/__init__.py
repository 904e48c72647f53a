"""The real thing, broken on purpose: processes, servers and connections, under load. `make chaos`, SECONDS=120."""
