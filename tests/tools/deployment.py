"""`make check-deploy`: are the units, the Dockerfile, the compose file and the Kubernetes manifests of deploy/ sound?

The validators are those of the dependency group `tools`, and systemd-analyze. None of them starts anything, and none
needs the network."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KUSTOMIZATION = DEPLOY / "kubernetes" / "kustomization.yaml"
MANIFESTS = sorted({*KUSTOMIZATION.parent.glob("*.yaml")} - {KUSTOMIZATION})
#: The exposure that `systemd-analyze security` may find, in tenths.
EXPOSURE = 30
#: A command that is there on each machine, in place of one that is installed on a server.
ANY_COMMAND = "/bin/true"


def main() -> int:
    """Run every check; return 1 where one found something."""
    failed = [check.__name__ for check in CHECKS if not _passes(check)]
    if failed:
        sys.stderr.write(f"found wrong: {', '.join(failed)}\n")
    return 1 if failed else 0


def units_are_valid() -> str:
    """Let systemd parse each unit. The command that they start is not installed here."""
    with tempfile.TemporaryDirectory() as directory:
        copies = [Path(directory) / unit.name for unit in UNITS]
        for unit, copy in zip(UNITS, copies, strict=True):
            copy.write_text(re.sub(r"(?m)^ExecStart=\S+.*$", f"ExecStart={ANY_COMMAND}", unit.read_text()))
        return _run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, copies))


def units_are_confined() -> str:
    """Hold the exposure of each unit to a bound."""
    bound = ("--offline=true", f"--threshold={EXPOSURE}", "--no-pager")
    return "".join(_run("systemd-analyze", "security", *bound, str(unit)) for unit in UNITS)


def the_dockerfile_is_clean() -> str:
    """Lint it."""
    return _run(_tool("hadolint"), str(DEPLOY / "docker" / "Dockerfile"))


def the_compose_file_fits_its_schema() -> str:
    """Compare it with the schema of the Compose Specification."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    return _run(_tool("check-jsonschema"), *schema, str(DEPLOY / "compose.yaml"))


def the_manifests_fit_their_schemas() -> str:
    """Compare each with the schema of its kind. A key that its kind does not have is an error."""
    return _run(_tool("kubernetes-validate"), "--strict", *map(str, MANIFESTS))


def the_kustomization_lists_every_manifest() -> str:
    """Find each file in its list, and no other."""
    listed = set(re.findall(r"^  - (\S+\.yaml)$", KUSTOMIZATION.read_text(), re.MULTILINE))
    there = {path.name for path in MANIFESTS}
    if listed != there:
        raise AssertionError(f"kustomization.yaml and its folder differ in {sorted(listed ^ there)}")
    return ""


def no_secret_is_committed() -> str:
    """Find no manifest of a Secret: pods name one that an operator makes."""
    found = [path.name for path in MANIFESTS if re.search(r"^kind: Secret$", path.read_text(), re.MULTILINE)]
    if found:
        raise AssertionError(f"a Secret is written in {', '.join(found)}")
    return ""


CHECKS: tuple[Callable[[], str], ...] = (
    units_are_valid,
    units_are_confined,
    the_dockerfile_is_clean,
    the_compose_file_fits_its_schema,
    the_manifests_fit_their_schemas,
    the_kustomization_lists_every_manifest,
    no_secret_is_committed,
)


def _passes(check: Callable[[], str]) -> bool:
    """Run a check and show what it says; of a success, the verdicts alone."""
    try:
        said = check()
    except AssertionError as wrong:
        sys.stderr.write(f"FAILED {check.__name__}\n{wrong}\n")
        return False
    sys.stdout.write(f"ok     {check.__name__}\n")
    sys.stdout.writelines(f"       {line}\n" for line in _verdicts(said))
    return True


def _verdicts(said: str) -> Iterator[str]:
    """Yield how exposed each unit is."""
    yield from (line.strip("→ ") for line in said.splitlines() if line.startswith("→"))


def _run(*command: str) -> str:
    """Return what the command printed. Raises AssertionError with it where the command failed or is missing."""
    if shutil.which(command[0]) is None:
        raise AssertionError(f"{command[0]} is missing: `.ci/install` and `make check-deploy` install it")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if done.returncode:
        raise AssertionError(said.strip())
    return said


def _tool(name: str) -> str:
    return str(ROOT / ".tools" / "bin" / name)


if __name__ == "__main__":
    sys.exit(main())
