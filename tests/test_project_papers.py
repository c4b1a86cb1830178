"""The project's papers fit the package, and its pre-commit hook and GitHub Action do what docs/ci.md says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from v6flow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
GOOD = "v6flow: 1\nname: good\nsteps: {a: {local: {value: 1}}}\noutputs: {a: '{{ steps.a.result }}'}\n"
BAD = "v6flow: 1\nname: bad\nsteps: {a: {local: {valu: 1}}}\n"
OUTSIDE = "v6flow: 1\nname: outside\nfederation: ../../federation.yaml\nsteps: {a: {local: {value: 1}}}\n"


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def environment(**more: str) -> dict[str, str]:
    """The environment of a program, without settings of v6flow, and with the v6flow of this Python in its path."""
    known = {key: value for key, value in os.environ.items() if not key.startswith(("V6FLOW_", "PYTHON", "PIP_"))}
    return {**known, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder as CI and hooks find it, with a file of somebody else beside it."""
    (tmp_path / "federation.yaml").write_text("v6flow_federation: 1\nbackend: embedded\n", "utf-8")
    folder = tmp_path / "repository"
    files = {
        "workflows/good.yaml": GOOD,
        "workflows/a b/deep.yaml": GOOD,
        "wrong/bad.yaml": BAD,
        "wrong/outside.yaml": OUTSIDE,
        "wrong/of a b/bad one.yaml": BAD,
    }
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


# ------------------------------------------------------------------------------------------------- the papers


def test_the_changelog_has_what_comes_next_or_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert versions
    assert versions[0] in ("Unreleased", __version__)
    assert len(versions) == len(set(versions))
    newest = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    kinds = {"Added", "Changed", "Changed: JSON keys", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", newest, re.MULTILINE)) <= kinds
    assert f"a checkout reports {__version__}" in text or __version__ in versions


def test_the_citation_is_of_this_version_and_license() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == __version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "v6flow"
    assert citation["message"]
    assert citation["authors"] == [{"name": "The v6flow developers"}]
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    numbered = re.findall(r"^   (\d+)\. ", text, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, 10)]
    assert "END OF TERMS AND CONDITIONS" in text
    assert text.rstrip().endswith("limitations under the License.")


def test_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:runner|tests|schemas|tools|docs|workflows)/[\w./-]+)`", text)
    missing = {name for name in named if "NAME" not in name and not (ROOT / name).exists()}
    assert len(named) > 15
    assert not missing
    for table, file in (
        ("COMMANDS", "cli/commands.py"),
        ("STEP_KINDS", "core/kinds/__init__.py"),
        ("BACKENDS", "backends/__init__.py"),
        ("STORES", "stores/registry.py"),
    ):
        assert f"`{table}`" in text
        assert re.search(rf"^{table}: |^{table} = ", (ROOT / "runner/v6flow" / file).read_text("utf-8"), re.MULTILINE)
    for target in re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_an_sdist_has_the_papers_and_a_wheel_the_license(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        top = {name.partition("/")[2] for name in sdist.getnames()}
        metadata = sdist.extractfile(f"v6flow-{__version__}/PKG-INFO")
        assert metadata is not None
        lines = metadata.read().decode().splitlines()
    assert {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "README.md"} <= top
    assert {"License-Expression: Apache-2.0", "License-File: LICENSE"} <= set(lines)
    (wheel,) = tmp_path.glob("*.whl")
    assert f"v6flow-{__version__}.dist-info/licenses/LICENSE".encode() in wheel.read_bytes()


# --------------------------------------------------------------------------------------------------- the hook


HOOK = next(hook for hook in read_yaml(".pre-commit-hooks.yaml") if hook["id"] == "v6flow-validate")


def run_hook(folder: Path, *files: str, args: tuple[str, ...] | None = None) -> subprocess.CompletedProcess[str]:
    """The hook as pre-commit calls it: the entry, its arguments, the names of files, at the top of the repository."""
    words = [*shlex.split(HOOK["entry"]), *(HOOK["args"] if args is None else args), *files]
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_the_hook_is_installed_with_the_package() -> None:
    assert HOOK["language"] == "python"
    assert f'\n{HOOK["entry"].split()[0]} = "v6flow.cli.main:main"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_hook_passes_sound_files(repository: Path) -> None:
    done = run_hook(repository, "workflows/good.yaml", "workflows/a b/deep.yaml")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_hook_fails_with_the_place_of_what_is_wrong(repository: Path) -> None:
    done = run_hook(repository, "workflows/good.yaml", "wrong/bad.yaml")
    assert done.returncode == 2
    assert "wrong/bad.yaml:3:21: unknown key `valu`" in done.stderr


def test_the_hook_reads_nothing_outside_of_the_repository(repository: Path) -> None:
    done = run_hook(repository, "wrong/outside.yaml")
    assert done.returncode == 2
    assert "is outside" in done.stderr
    unbounded = run_hook(repository, "wrong/outside.yaml", args=())
    assert "is outside" not in unbounded.stderr


def takes(name: str) -> bool:
    """Whether pre-commit gives the hook a YAML file of a name: it searches for the pattern in the path."""
    assert HOOK["types"] == ["yaml"]
    return re.search(HOOK["files"], name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "workflow.yaml", "study/workflow.yml", "study-workflow.yaml", "a/b.workflow.yaml", "federation.yaml",
        "my_federation.yml", "mean.test.yaml", "a/mean.test.yml", "workflows/mean.yaml", "a/workflows/b/c d.yaml",
        "workflows/federations/hospitals.yaml", "federations/trial.yaml", "wörk/workflows/é.yaml",
    ],
)  # fmt: skip
def test_the_hook_takes_what_is_named_like_ours(name: str) -> None:
    assert takes(name)


@pytest.mark.parametrize(
    "name",
    [
        ".github/workflows/ci.yaml", "a/.github/workflows/ci.yml", ".gitea/workflows/workflow.yaml",
        ".x/mean.test.yaml",
        "docker-compose.yaml", "mkdocs.yml", "test.yaml", "workflow.yaml.j2", "subworkflow/config.yaml",
        "myworkflow.yaml", "workflows.yaml", "workflows/notes.txt", "myworkflows/mean.yaml", ".pre-commit-config.yaml",
    ],
)  # fmt: skip
def test_the_hook_leaves_other_files_alone(name: str) -> None:
    assert not takes(name)


def our_files() -> Iterator[str]:
    """The YAML files of the examples and of the templates, in folders that are not hidden."""
    for folder in ("workflows", "runner/v6flow/templates"):
        for file in sorted((ROOT / folder).rglob("*.yaml")):
            name = str(file.relative_to(ROOT))
            if not any(part.startswith(".") for part in Path(name).parts):
                yield name


def test_the_hook_takes_every_example_and_template() -> None:
    names = list(our_files())
    assert len(names) > 30
    assert [name for name in names if not takes(name)] == []


def test_the_hook_passes_the_examples() -> None:
    done = run_hook(ROOT, *(name for name in our_files() if name.startswith("workflows/")))
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------- the action


ACTION = read_yaml("action.yml")
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}


def run_step(name: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """A step of the action as a runner runs it in a folder; RUNNER_TEMP is beside the folder."""
    step = STEPS[name]
    known = {key: str(value.get("default", "")) for key, value in ACTION["inputs"].items()} | inputs
    given = {
        key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: known[found[1]], value)
        for key, value in step["env"].items()
    }
    script = folder.parent / "step.sh"
    script.write_text(step["run"], "utf-8")
    more = {"RUNNER_TEMP": str(folder.parent / "runner"), "GITHUB_ACTION_PATH": str(ROOT)}
    if name == "Install v6flow":
        more |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    site = os.pathsep.join(sys.path[1:])  # for the v6flow that is installed without what it needs
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    return subprocess.run(
        words,
        cwd=folder,
        env=environment(**more, PYTHONPATH=site, **given),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(repository: Path) -> Path:
    """The repository, where the first step has put the v6flow of these tests."""
    folder = repository.parent / "runner" / "v6flow" / "bin"
    folder.mkdir(parents=True)
    (folder / "v6flow").symlink_to(Path(sys.executable).parent / "v6flow")
    return repository


def test_the_action_is_composite_and_describes_its_inputs() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert set(ACTION["inputs"]) == {"files", "root", "python-version", "path"}
    assert all(each["description"] for each in ACTION["inputs"].values())
    assert [key for key, each in ACTION["inputs"].items() if each.get("required")] == ["files"]
    assert all(step["shell"] == "bash" for step in STEPS.values())
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    assert set(ACTION["inputs"]) <= set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))


def test_no_input_of_the_action_is_written_into_a_script() -> None:
    assert [name for name, step in STEPS.items() if "${{" in step["run"]] == []


def test_the_action_passes_sound_files(installed: Path) -> None:
    done = run_step("Validate", installed, files="workflows/good.yaml\n\n  workflows/**/*.yaml  \n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "workflows/good.yaml: valid\nworkflows/a b/deep.yaml: valid\n"


@pytest.mark.parametrize("pattern", ["wrong/bad.yaml", "wrong/of a b/*.yaml", "wrong/**/bad*.yaml"])
def test_the_action_fails_for_what_is_wrong(installed: Path, pattern: str) -> None:
    done = run_step("Validate", installed, files=f"workflows/good.yaml\n{pattern}")
    assert done.returncode == 2
    assert "unknown key `valu`" in done.stderr


def test_the_action_reads_nothing_outside_of_its_root(installed: Path) -> None:
    done = run_step("Validate", installed, files="wrong/outside.yaml")
    assert (done.returncode, "is outside" in done.stderr) == (2, True)
    done = run_step("Validate", installed, files="workflows/good.yaml", root="wrong")
    assert (done.returncode, "is outside" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("", "names no file"),
        (" \n\n", "names no file"),
        ("workflows/good.yaml\nnone/*.yaml", "no file matches none/*.yaml"),
        ("workflows/gone.yaml", "no workflow file workflows/gone.yaml"),
        ("--help", "no workflow file --help"),
        ("$(touch made).yaml", "no workflow file $(touch made).yaml"),
        ("`touch made`; touch made", "no workflow file `touch made`; touch made"),
    ],
)
def test_the_action_never_passes_without_a_file(installed: Path, files: str, message: str) -> None:
    done = run_step("Validate", installed, files=files)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert not list(installed.rglob("made"))


def test_the_action_installs_a_wheel_and_runs_it(repository: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(repository)]
    subprocess.run(build, cwd=ROOT, env=environment(), capture_output=True, check=True)
    (wheel,) = repository.glob("*.whl")
    for module in ("pip", "venv"):  # a proposed change could bring them
        (repository / f"{module}.py").write_text("raise SystemExit('the repository was imported')\n", "utf-8")
    done = run_step("Install v6flow", repository, path=wheel.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"v6flow {__version__}\n"
    assert run_step("Validate", repository, files="workflows/good.yaml").stdout == "workflows/good.yaml: valid\n"
    assert run_step("Validate", repository, files="wrong/bad.yaml").returncode == 2


def test_a_folder_that_is_named_like_a_project_is_a_folder(repository: Path) -> None:
    done = run_step("Install v6flow", repository, path="v6flow")
    assert done.returncode != 0
    assert "./v6flow" in done.stderr
