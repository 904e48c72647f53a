"""One way of logging, and no secret in it."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging, sys
from orchestrator.observability import log
log.configure(sys.argv[1], process="ping")
def fails():
    key = "sk-planted-secret"
    raise ValueError("the key was refused" if key else "")
try:
    fails()
except ValueError:
    logging.getLogger("orchestrator.test").exception("it failed")
logging.getLogger("httpx").info("GET http://user:password@host/")
"""


@pytest.mark.parametrize("mode", ["console", "json"])
def test_a_traceback_shows_no_local_variables(mode: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    assert "the key was refused" in done.stderr
    assert "sk-planted" not in done.stderr.replace('"sk-planted-secret"\n', "")
    assert "password" not in done.stderr


def test_json_is_one_object_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "json"], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["process"]) == ("it failed", "error", "ping")
