"""docs/api.md is true: its examples run, and its table is the code's."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from orchestrator.api.problems import STATUS
from orchestrator.rules.values import Scope
from tests.api.stage import Api

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def example(heading: str, language: str) -> str:
    """Return the code below this heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def run(api: Api, directory: Path, command: list[str]) -> str:
    """Run the example while the world does what is due; return its output."""
    assert shutil.which(command[0]), f"these tests need {command[0]}: .ci/install installs it"
    env = {
        "PATH": os.environ["PATH"],
        "URL": api.url,
        "TOKEN": api.token(Scope.OPERATE),
        "HOME": str(directory),
    }
    process = subprocess.Popen(
        command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    give_up_at = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < give_up_at:
        api.world.settle()
        time.sleep(0.1)
    process.kill()
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def test_the_example_with_curl_runs(api: Api, tmp_path: Path) -> None:
    script = example("A session with curl", "sh")
    said = run(api, tmp_path, ["sh", "-euc", script])
    [session] = api.get("/sessions")["items"]
    assert (session["state"], session["stop_reason"]) == ("stopped", "user")
    assert said.count(session["id"]) == 5
    assert '"state":"running"' in said


def test_the_example_with_node_runs(api: Api, tmp_path: Path) -> None:
    (tmp_path / "example.mjs").write_text(example("The same with Node.js", "js"))
    said = run(api, tmp_path, ["node", "example.mjs"])
    assert re.fullmatch(r"running http://\S+\n", said)
    api.world.settle()
    assert [one["state"] for one in api.get("/sessions")["items"]] == ["stopped"]


def test_the_example_with_python_is_code() -> None:
    compile(example("And with Python", "python"), "example", "exec")


def test_the_table_of_errors_is_the_codes() -> None:
    section = PAGE.split("## Errors\n")[1].split("\n## ")[0]
    table = {
        code: int(status)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*) \|$", section, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert table == {str(code): status for code, status in STATUS.items()}
