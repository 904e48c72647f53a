"""Tools for who works on this repository: each is run as `python -m tests.tools.NAME`."""
