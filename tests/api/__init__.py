"""The HTTP API, over a real server in this process."""
