"""The command line: parse, call one flow, format."""
