"""Environments with one distribution of this repository, in the locked versions, and nothing else."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The uv of `make setup`, or the one that made the environment.
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"
#: Variables that lead to the sources and packages of the environment in which the tests run.
_HIDDEN = frozenset({"PYTHONPATH", "VIRTUAL_ENV"})


@dataclass(frozen=True, slots=True)
class Installed:
    """The directory of an environment."""

    directory: Path

    @property
    def bin(self) -> Path:
        return self.directory / "bin"

    @property
    def site_packages(self) -> Path:
        [found] = self.directory.glob("lib/python*/site-packages")
        return found


def built(project: Path, directory: Path) -> Path:
    """Build the source distribution, of it the wheel; return that. (uv may install a project as it was before.)"""
    run(UV, "build", "--quiet", "--out-dir", "dist", project, cwd=directory)
    [wheel] = (directory / "dist").glob("*.whl")
    return wheel


def install(requirement: str, directory: Path) -> Installed:
    """Install a distribution in a new environment: `NAME[EXTRA] @ URL`."""
    constraints = directory / "constraints.txt"
    constraints.write_text(
        run(UV, "export", "--frozen", "--no-hashes", "--no-emit-project", "--quiet", cwd=ROOT)
    )
    environment = Installed(directory / "venv")
    run(UV, "venv", "--quiet", "--python", sys.executable, environment.directory, cwd=directory)
    options = (
        "--quiet",
        "--no-compile",
        "--python",
        environment.bin / "python",
        "--constraints",
        constraints,
    )
    run(UV, "pip", "install", *options, requirement, cwd=directory)
    return environment


def run(*command: str | Path, cwd: Path) -> str:
    """Return what the command prints. Raises AssertionError with its errors where it fails."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=outside(), timeout=150
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outside() -> dict[str, str]:
    """Return an environment of variables that does not lead back to this one."""
    ours = _HIDDEN | {name for name in os.environ if name.startswith("ORCHESTRATOR_")}
    return {name: value for name, value in os.environ.items() if name not in ours}
