"""`init`: sample configuration that works at once, with simulated platforms."""

import itertools
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import orchestrator
from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.output import print_line, print_text

_PACKAGE = Path(orchestrator.__file__).parent
#: The samples in a wheel; in a clone they are in `deploy/`.
_SAMPLES = (_PACKAGE / "samples", _PACKAGE.parent / "deploy")
_UNITS = "systemd"
_WORLD_READABLE = 0o644
#: For files with secrets.
_OWNER_ONLY = 0o600
#: Secrets that the simulated platforms of `simulator.json` accept.
_SIMULATED_SECRETS = {
    "LAPTOP_KEY": "sk-laptop",
    "GATEWAY_KEY_1": "sk-gateway-1",
    "GATEWAY_KEY_2": "sk-gateway-2",
}
_FIRST_SESSION = """
Next, a first session on the simulated platforms:

  cd {directory}
  set -a; . ./env; set +a
  orchestrator simulator --port 8900 --preload simulator.json &
  orchestrator migrate
  orchestrator up &
  orchestrator apply catalog.toml
  orchestrator session create --account acme --model llama-3.1-8b \\
      --max-duration 600 --wait-running 30

Then put your own providers into orchestrator.toml, and their secrets into env.
example.toml shows every key.
"""
_SERVICES = """
Next, on a server with PostgreSQL and Valkey or Redis:

  set ORCHESTRATOR_DATABASE_URL and ORCHESTRATOR_BROKER_URL in {directory}/env
  cp {directory}/systemd/*.service /etc/systemd/system/

The units run as the user orchestrator, with the settings of /etc/orchestrator/env.
docs/install/systemd.md describes every step: the user, the schema, the first session.
"""


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file that `init` writes."""

    name: str
    text: str
    about: str
    mode: int = _WORLD_READABLE


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write; created if it is missing.")] = Path(),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that exist; each is kept as NAME.old.")
    ] = False,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Write the systemd units too, into DIRECTORY/systemd.")
    ] = False,
) -> None:
    """Write sample configuration: orchestrator.toml, a catalog, and an env file that only you can read."""
    directory = directory.absolute()
    files = [*_configuration(directory), *(_units() if systemd else ())]
    if not force:
        _refuse_to_overwrite(directory, files)
    try:
        kept = {file.name: _write(directory / file.name, file) for file in files}
    except OSError as error:
        raise Complaint(f"cannot write {error.filename}: {error.strerror}") from None
    print_line(f"Wrote into {directory}:")
    for file in files:
        print_line(f"  {file.name:<20} {file.about}".rstrip())
        if kept[file.name]:
            print_line(f"  {'':<20} the former one is {kept[file.name]}")
    following = _SERVICES if systemd else _FIRST_SESSION
    print_text(following.format(directory=shlex.quote(str(directory))).rstrip("\n"))


def _configuration(directory: Path) -> Iterator[SampleFile]:
    yield SampleFile("orchestrator.toml", _sample("laptop.toml"), "providers, here two simulated ones")
    yield SampleFile("example.toml", _sample("orchestrator.toml"), "every key of orchestrator.toml")
    yield SampleFile("catalog.toml", _sample("catalog.toml"), "models and accounts for `orchestrator apply`")
    yield SampleFile("simulator.json", _sample("simulator.json"), "what the simulated platforms offer")
    yield SampleFile("env", _env(directory), "settings and secrets; only you can read it", _OWNER_ONLY)


def _units() -> Iterator[SampleFile]:
    for path in sorted(_samples().joinpath(_UNITS).iterdir()):
        yield SampleFile(f"{_UNITS}/{path.name}", path.read_text(), "")


def _env(directory: Path) -> str:
    """Return every setting with its default, this configuration file, a fresh key, and the simulated secrets."""
    settings = {
        "ORCHESTRATOR_CONFIG": f"{directory / 'orchestrator.toml'}",
        "ORCHESTRATOR_FINGERPRINT_KEY": secrets.token_urlsafe(32),
    }
    lines = [_filled(line, settings) for line in _sample("env.example").splitlines()]
    simulated = [f"{name}={value}" for name, value in _SIMULATED_SECRETS.items()]
    return "\n".join([*lines, "", "# Secrets of the providers in orchestrator.toml.", *simulated, ""])


def _filled(line: str, settings: dict[str, str]) -> str:
    name = line.partition("=")[0]
    return f'{name}="{settings[name]}"' if name in settings else line


def _refuse_to_overwrite(directory: Path, files: Sequence[SampleFile]) -> None:
    there = [file.name for file in files if os.path.lexists(directory / file.name)]
    if there:
        raise Complaint(
            f"nothing was written: {directory} has {', '.join(there)} already. "
            "Name another directory, or replace them with --force, which keeps each as NAME.old"
        )


def _write(path: Path, file: SampleFile) -> str | None:
    """Write the file anew, so that what it holds is never readable by others, not even for an instant. Return the name
    under which a former file with other content is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if path.is_file() and not path.is_symlink() and path.read_text(errors="replace") != file.text:
        kept = _free_name(path)
        path.chmod(path.stat().st_mode & file.mode)
        path.rename(path.with_name(kept))
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "w") as output:
        output.write(file.text)
    return kept


def _free_name(path: Path) -> str:
    names = itertools.chain([f"{path.name}.old"], (f"{path.name}.old{n}" for n in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(path.with_name(name)))


def _sample(name: str) -> str:
    return _samples().joinpath(name).read_text()


def _samples() -> Path:
    return next(place for place in _SAMPLES if place.is_dir())
