"""Makes the virtual environment in which the live server and its nodes run: once, and found again afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PROJECT = Path(__file__).parents[2]
VERSIONS = ((3, 10), (3, 11), (3, 12), (3, 13))  # Pythons that these packages were seen to work with
PATIENCE = 1200.0  # seconds for making it; a minute is usual
TAIL = 40  # lines of pip's output that an error shows


class EnvironmentFailedError(Exception):
    """The environment cannot be made; says which command failed, and how."""


def interpreter() -> Path:
    """The Python of the environment, which is made first if there is none."""
    base = _base()
    name = f"live-{_key(base)}"
    folder = _place()
    python = folder / name / "bin" / "python"
    if python.exists():
        return python
    with _lock(folder / f"{name}.lock"):
        if not python.exists():
            _make(base, folder, name)
    return python


def _make(base: str, folder: Path, name: str) -> None:
    """Make it under another name and rename it: there is never half an environment."""
    began = time.monotonic()
    for left_over in folder.glob(f"{name}.tmp-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}.tmp-", dir=folder))
    print(f"making the environment of the live server in {folder / name} …", file=sys.stderr)
    try:
        _run([base, "-m", "venv", str(work)])
        pip = [str(work / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "install", "--quiet", "--requirement", str(REQUIREMENTS)])
        _run([*pip, "check"])
        work.rename(folder / name)  # its scripts would not survive this; only its interpreter is used
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    print(f"… made in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _run(command: list[str]) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL_ENV"))
    }
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailedError(f"no end after {PATIENCE:.0f} s: {' '.join(command)}") from error
    if done.returncode:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-TAIL:])
        raise EnvironmentFailedError(f"exit code {done.returncode} from: {' '.join(command)}\n{tail}")


def _base() -> str:
    """The interpreter to make it with: this one if it will do, else one on the path."""
    if sys.version_info[:2] in VERSIONS:
        return sys.executable
    for major, minor in reversed(VERSIONS):
        found = shutil.which(f"python{major}.{minor}")
        if found is not None:
            return found
    raise EnvironmentFailedError("vantage6 4.15.2 needs a Python from 3.10 to 3.13, and there is none here")


def _key(base: str) -> str:
    asked = [base, "-c", "import sys; print(sys.version)"]
    version = (
        sys.version
        if base == sys.executable
        else subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    )
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + version.strip().encode())
    return digest.hexdigest()[:16]


def _place() -> Path:
    """A folder that outlives the project's folder if possible, else one inside its `.venv`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME")
    places = [Path(cache) / "v6flow"] if cache and Path(cache).is_absolute() else []
    places += [Path(home) / ".cache" / "v6flow"] if home and Path(home).is_absolute() else []
    places += [PROJECT / ".venv" / "live"]
    for place in places:
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK | os.X_OK):
            return place
    raise EnvironmentFailedError(f"no place to write to; tried {', '.join(map(str, places))}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time, and free again however that process ends."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(interpreter())
