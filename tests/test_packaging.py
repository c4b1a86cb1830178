"""What is installed works by itself: the wheel, built from the sources or from an sdist, has all that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from v6flow.version import __version__

pytest.importorskip("hatchling")

PROJECT = Path(__file__).parents[1]
NEEDED = {
    "v6flow/py.typed",
    "v6flow/__main__.py",
    "v6flow/schemas/workflow.schema.json",
    "v6flow/schemas/federation.schema.json",
    "v6flow/schemas/test.schema.json",
    "v6flow/examples/average.yaml",
    "v6flow/examples/federations/hospitals.yaml",
    "v6flow/examples/algorithms/hospital-stats/hospital_stats/__init__.py",
    "v6flow/examples/data/alpha.csv",
    "v6flow/local/v6flow.R",
    "v6flow/templates/average/workflow.yaml",
    "v6flow/templates/average/algorithm/analysis/__init__.py",
    "v6flow/templates/common/data/alpha.csv",
    "v6flow/templates/common/.gitignore",
    "v6flow/templates/common/.vscode/settings.json",
    "v6flow/templates/common/.github/workflows/v6flow.yaml",
}


def run(*words: str, cwd: Path, **more: str) -> str:
    known = {key: value for key, value in os.environ.items() if not key.startswith(("V6FLOW_", "PYTHONPATH"))}
    done = subprocess.run(words, cwd=cwd, env={**known, **more}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, target: Path) -> Path:
    """The wheel of a project or sdist, built from what is on this machine."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index")
    run(*pip, "--no-build-isolation", "--wheel-dir", str(target), str(source), cwd=target)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PROJECT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=PROJECT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_what_it_needs_and_nothing_of_the_tests(wheel: Path) -> None:
    there = names(wheel)
    assert not {*NEEDED, f"v6flow-{__version__}.dist-info/licenses/LICENSE"} - there
    assert wheel.name.startswith(f"v6flow-{__version__}-py3-none-any")
    assert {name.split("/")[0] for name in there} == {"v6flow", f"v6flow-{__version__}.dist-info"}
    assert not [name for name in there if "__pycache__" in name or ".v6flow" in name or "test_" in name]


def test_an_sdist_gives_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert names(build(sdist, tmp_path)) == names(wheel)


def test_it_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index")
    run(*pip, "--target", str(site), str(wheel), cwd=elsewhere)

    def v6flow(*words: str) -> str:
        return run(sys.executable, "-m", "v6flow", *words, cwd=elsewhere, PYTHONPATH=str(site))

    where = run(sys.executable, "-c", "import v6flow; print(v6flow.__file__)", cwd=elsewhere, PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site)
    assert v6flow("--version") == f"v6flow {__version__}\n"
    assert v6flow("schema", "federation") == (PROJECT / "schemas" / "federation.schema.json").read_text("utf-8")
    example = str(site / "v6flow" / "examples" / "average.yaml")
    assert v6flow("validate", example) == f"{example}: valid\n"
    (elsewhere / "own.yaml").write_text(
        "v6flow: 1\nname: own\nsteps: {a: {local: {value: 1}}}\noutputs: {a: '{{ steps.a.result }}'}\n"
    )
    assert v6flow("run", "own.yaml") == "a: 1\n"
    assert "project/algorithm/analysis/columns.py" in v6flow("init", "project").splitlines()
    assert v6flow("validate", "project/workflow.yaml") == "project/workflow.yaml: valid\n"
    assert (site / "bin" / "v6flow").is_file()
