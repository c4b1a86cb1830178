"""`v6flow init`: each template is a project that runs at once, computes what it says, and overwrites nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_stage import (
    call,
    child,
)

from v6flow.cli import init
from v6flow.errors import UsageError
from v6flow.loading import SCHEMA_NAMES, schema_text

pytest.importorskip("vantage6.algorithm.tools", reason="the templates' algorithms need vantage6's algorithm tools")
np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")

Capture = pytest.CaptureFixture[str]
NAMES = sorted(init.templates())
HOSPITALS = ("alpha", "beta", "gamma")


def started(template: str, here: Path, capsys: Capture) -> Path:
    said = call(capsys, "init", "project", "--template", template)
    assert said.code == 0, said.err
    return here / "project"


def pooled(folder: Path) -> Any:
    return pd.concat([pd.read_csv(folder / "data" / f"{name}.csv") for name in HOSPITALS], ignore_index=True)


def computed(template: str, here: Path, capsys: Capture, *words: str) -> tuple[dict[str, Any], Any]:
    """The outputs of a template's project, and the rows of all its hospitals."""
    folder = started(template, here, capsys)
    said = call(capsys, "validate", "project/workflow.yaml", "project/federation.yaml")
    assert (said.code, said.err) == (0, "")
    said = call(capsys, "run", "project/workflow.yaml", "-q", "-o", "json", *words)
    assert said.code == 0, said.err
    outputs = said.document["outputs"]
    assert outputs.pop("hospitals") == list(HOSPITALS)
    return outputs, pooled(folder)


# ------------------------------------------------------------------------------------ what the templates compute


def test_average(here: Path, capsys: Capture) -> None:
    outputs, rows = computed("average", here, capsys, "--param", "column=bmi")
    assert outputs["average"] == pytest.approx(rows["bmi"].mean(), rel=1e-12)
    assert (outputs["count"], outputs["missing"]) == (rows["bmi"].count(), rows["bmi"].isna().sum())
    assert outputs["missing"]


def test_variance(here: Path, capsys: Capture) -> None:
    outputs, rows = computed("variance", here, capsys)
    column = rows["systolic_bp"]
    assert (outputs["count"], outputs["missing"]) == (column.count(), column.isna().sum())
    assert outputs["mean"] == pytest.approx(column.mean(), rel=1e-12)
    assert outputs["variance"] == pytest.approx(column.var(), rel=1e-12)
    assert outputs["standard_deviation"] == pytest.approx(column.std(), rel=1e-12)


def test_logistic(here: Path, capsys: Capture) -> None:
    outputs, rows = computed("logistic", here, capsys)
    complete = rows[["diabetes", "age", "bmi"]].dropna()
    design = np.column_stack([np.ones(len(complete)), complete[["age", "bmi"]]])
    observed = complete["diabetes"].to_numpy()
    coefficients = np.zeros(3)
    for _ in range(25):
        expected = 1 / (1 + np.exp(-design @ coefficients))
        information = design.T @ (design * (expected * (1 - expected))[:, None])
        coefficients = coefficients + np.linalg.solve(information, design.T @ (observed - expected))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    likelihood = (observed * np.log(expected) + (1 - observed) * np.log(1 - expected)).sum()
    assert (outputs["count"], outputs["dropped"]) == (len(complete), len(rows) - len(complete))
    assert outputs["log_likelihood"] == pytest.approx(likelihood, rel=1e-10)
    assert list(outputs["coefficients"]) == ["intercept", "age", "bmi"]
    found = outputs["coefficients"].values()
    assert [each["estimate"] for each in found] == pytest.approx(list(coefficients), rel=1e-8)
    assert [each["standard_error"] for each in found] == pytest.approx(list(errors), rel=1e-6)
    assert [each["odds_ratio"] for each in found] == pytest.approx(list(np.exp(coefficients)), rel=1e-8)


@pytest.mark.parametrize("period", [1, 3])
def test_survival(period: int, here: Path, capsys: Capture) -> None:
    outputs, rows = computed("survival", here, capsys, "--param", f"period={period}")
    rows["until"] = np.ceil(rows["months"] / period) * period
    assert (outputs["count"], outputs["dropped"]) == (len(rows), 0)
    for group in ("usual", "new"):
        curve = outputs["curves"][group]
        assert curve["time"] == list(range(period, 37, period))
        of_group = rows[rows["treatment"] == group]
        survival, greenwood = 1.0, 0.0
        for index, time in enumerate(curve["time"]):
            at_risk = int((of_group["until"] >= time).sum())
            died = int(((of_group["until"] == time) & (of_group["died"] == 1)).sum())
            survival *= 1 - died / at_risk
            greenwood += died / (at_risk * (at_risk - died))
            assert (curve["at_risk"][index], curve["events"][index]) == (at_risk, died)
            assert curve["survival"][index] == pytest.approx(survival, rel=1e-12)
            assert curve["standard_error"][index] == pytest.approx(survival * math.sqrt(greenwood), rel=1e-9)
    chi_square, observed = log_rank(rows)
    assert outputs["log_rank"]["chi_square"] == pytest.approx(chi_square, rel=1e-9)
    assert outputs["log_rank"]["p"] == pytest.approx(math.erfc(math.sqrt(chi_square / 2)), rel=1e-9)
    assert outputs["log_rank"]["observed"] == observed
    assert sum(outputs["log_rank"]["expected"].values()) == pytest.approx(sum(observed.values()))


def log_rank(rows: Any) -> tuple[float, dict[str, int]]:
    """The log-rank statistic on all rows, and the deaths in each group."""
    excess = variance = 0.0
    usual = rows["treatment"] == "usual"
    for time in sorted(rows.loc[rows["died"] == 1, "until"].unique()):
        there, dies = rows["until"] >= time, (rows["until"] == time) & (rows["died"] == 1)
        n, n_usual, d = there.sum(), (there & usual).sum(), dies.sum()
        excess += (dies & usual).sum() - d * n_usual / n
        variance += d * (n_usual / n) * (1 - n_usual / n) * (n - d) / (n - 1)
    deaths = rows[rows["died"] == 1].groupby("treatment").size()
    return excess**2 / variance, {"usual": int(deaths["usual"]), "new": int(deaths["new"])}


def test_a_regression_that_still_moves_is_no_result(here: Path, capsys: Capture) -> None:
    folder = started("logistic", here, capsys)
    for name in HOSPITALS:  # an outcome that a predictor tells apart completely
        table = pd.read_csv(folder / "data" / f"{name}.csv")
        table.assign(diabetes=(table["age"] > 55).astype(int)).to_csv(folder / "data" / f"{name}.csv", index=False)
    said = call(capsys, "run", "project/workflow.yaml", "-o", "json")
    assert (said.code, said.document["outputs"]) == (1, {})
    assert "after 25 rounds" in said.document["error"]["message"]


@pytest.mark.parametrize("template", NAMES)
def test_a_hospital_answers_about_too_few_patients_in_no_template(template: str, here: Path, capsys: Capture) -> None:
    folder = started(template, here, capsys)
    federation = (folder / "federation.yaml").read_text("utf-8")
    (folder / "federation.yaml").write_text(federation.replace('"10"', '"80"'), "utf-8")  # beta has 70
    said = call(capsys, "run", "project/workflow.yaml", "--federation", "project/federation.yaml", "-q", "-o", "json")
    first = next(step for step in said.document["steps"].values() if step.get("failed"))
    assert first["failed"] == ["beta"]
    assert "this node's minimum of 80" in first["failures"]["beta"]["message"]
    assert "70" not in first["failures"]["beta"]["message"]


# ------------------------------------------------------------------------------------------- what a project has


@pytest.mark.parametrize("template", NAMES)
def test_what_the_project_checks_on_every_change_passes(template: str, here: Path, capsys: Capture) -> None:
    folder = started(template, here, capsys)
    checks = yaml.safe_load((folder / ".github" / "workflows" / "v6flow.yaml").read_text("utf-8"))
    lines = [step["run"] for step in checks["jobs"]["run"]["steps"] if step.get("run", "").startswith("v6flow ")]
    assert [line.split()[1] for line in lines] == ["validate", "fmt", "lint", "test", "run"]
    os.chdir(folder)
    for line in lines[:-1]:  # the run itself is above
        said = call(capsys, *line.split()[1:])
        assert said.code == 0, f"{line}: {said.err}"


@pytest.mark.parametrize("template", NAMES)
def test_editors_find_the_schemas(template: str, here: Path, capsys: Capture) -> None:
    folder = started(template, here, capsys)
    for name in SCHEMA_NAMES:
        assert (folder / "schemas" / f"{name}.schema.json").read_text("utf-8") == schema_text(name)
        example = "workflow.test.yaml" if name == "test" else f"{name}.yaml"
        first = (folder / example).read_text("utf-8").splitlines()[0]
        assert first == f"# yaml-language-server: $schema=schemas/{name}.schema.json"
    settings = json.loads((folder / ".vscode" / "settings.json").read_text("utf-8"))
    for schema, files in settings["yaml.schemas"].items():
        assert (folder / schema).is_file()
        assert (folder / files[0]).is_file()


@pytest.mark.parametrize("template", NAMES)
def test_the_image_has_the_methods_that_are_asked_for(template: str, here: Path, capsys: Capture) -> None:
    folder = started(template, here, capsys)
    assert "ENV PKG_NAME=analysis\n" in (folder / "algorithm" / "Dockerfile").read_text("utf-8")
    workflow = yaml.safe_load((folder / "workflow.yaml").read_text("utf-8"))
    assert workflow["name"] == template
    package = (folder / "algorithm" / "analysis" / "__init__.py").read_text("utf-8")
    for step in workflow["steps"].values():
        assert "task" not in step or f"def {step['task']['method']}(" in package


def test_secrets_and_runs_stay_out_of_git(here: Path, capsys: Capture) -> None:
    started("average", here, capsys)
    ignored = (here / "project" / ".gitignore").read_text("utf-8").splitlines()
    assert {".v6flow/", ".env", "*.pem"} <= set(ignored)


def test_the_patients_are_those_that_are_made_up(tmp_path: Path) -> None:
    data = init.TEMPLATES / "common" / "data"
    subprocess.run([sys.executable, data / "generate.py", tmp_path], check=True)
    for name in HOSPITALS:
        assert (tmp_path / f"{name}.csv").read_bytes() == (data / f"{name}.csv").read_bytes()


# ----------------------------------------------------------------------------------------------- the command


def test_templates_are_listed(capsys: Capture) -> None:
    said = call(capsys, "init", "--list")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()] == NAMES
    assert {"average", "variance", "logistic", "survival"} <= set(NAMES)
    listed = call(capsys, "init", "--list", "-o", "json").document["templates"]
    assert {each["name"]: each["description"] for each in listed} == init.templates()


def test_what_was_written_is_told(here: Path, capsys: Capture) -> None:
    said = call(capsys, "init", "deep/down")
    there = {str(path.relative_to(here)) for path in (here / "deep").rglob("*") if path.is_file()}
    assert set(said.out.splitlines()) == there
    assert said.err == "next: cd deep/down && v6flow run workflow.yaml\n"
    assert "name: average" in (here / "deep" / "down" / "workflow.yaml").read_text("utf-8")
    document = call(capsys, "init", "other", "-o", "json").document
    assert (document["folder"], document["template"]) == ("other", "average")
    assert "workflow.yaml" in document["files"]


def test_the_current_folder_is_built_in(here: Path) -> None:
    (here / "notes.txt").write_text("mine")
    said = child("init")
    assert (said.code, said.err) == (0, "next: v6flow run workflow.yaml\n")
    assert (here / "workflow.yaml").is_file()
    assert (here / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [".gitignore", "workflow.yaml", "data/beta.csv"])
def test_nothing_is_written_over(name: str, here: Path, capsys: Capture) -> None:
    path = here / "project" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    said = call(capsys, "init", "project")
    assert (said.code, said.out) == (2, "")
    assert f"project/{name} already exists" in said.err
    assert [each for each in (here / "project").rglob("*") if each.is_file()] == [path]
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["project", "project/data", "project/.github/workflows"])
def test_a_file_where_a_folder_should_be_is_in_the_way(name: str, here: Path, capsys: Capture) -> None:
    (here / name).parent.mkdir(parents=True, exist_ok=True)
    (here / name).write_text("mine")
    said = call(capsys, "init", "project")
    assert (said.code, said.out) == (2, "")
    assert f"{name} already exists" in said.err
    assert (here / name).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_written_through(here: Path, capsys: Capture) -> None:
    (here / "workflow.yaml").symlink_to(here / "elsewhere.yaml")
    assert call(capsys, "init").code == 2
    assert not (here / "elsewhere.yaml").exists()


def test_what_cannot_be_written_whole_is_not_written_at_all(here: Path) -> None:
    (here / "project").mkdir()
    (here / "project" / "mine").touch()
    files = {"a": b"1", "new/deep/b": b"2", "x" * 300: b"3"}
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        init.write(here / "project", files)
    assert [each.name for each in (here / "project").rglob("*")] == ["mine"]
    with pytest.raises(UsageError, match=f"{here / 'other' / 'deep' / 'xxx'}"):
        init.write(here / "other" / "deep", files)
    assert [each.name for each in here.iterdir()] == ["project"]
    init.write(Path("new/../next/./deep"), {"a": b"1"})
    assert (here / "next" / "deep" / "a").read_bytes() == b"1"
    assert not (here / "new").exists()


KILLED = """
import os, sys
from pathlib import Path
from v6flow.cli import init
calls = 0
def wrapped(what, real):
    def call(*arguments, **more):
        global calls
        calls += 1
        if calls > int(sys.argv[2]):
            os._exit(9)
        return real(*arguments, **more)
    return call
os.link, Path.write_bytes, Path.rename = (wrapped(*each) for each in (
    ("link", os.link), ("write", Path.write_bytes), ("rename", Path.rename)))
init.write(Path(sys.argv[1]), init.project("average"))
"""


def killed(folder: str, after: int) -> int:
    """Start a project in a process that is killed before it writes, renames or links once more."""
    return subprocess.run([sys.executable, "-c", KILLED, folder, str(after)], check=False).returncode


@pytest.mark.parametrize("after", [0, 3, -1])
def test_killed_midway_no_part_of_a_new_folder_is_left(after: int, here: Path, capsys: Capture) -> None:
    if after < 0:  # all is written, and it is to be renamed
        after = len(init.project("average"))
    assert killed("deep/project", after) == 9
    assert not (here / "deep").exists()
    assert call(capsys, "init", "deep/project").code == 0
    assert killed("other", len(init.project("average")) + 1) == 0


@pytest.mark.parametrize("placed", [-5, 0, 1, 7])
def test_killed_midway_in_a_folder_that_is_there_it_is_completed(placed: int, here: Path, capsys: Capture) -> None:
    (here / "mine").touch()
    files = init.project("average")
    assert killed(".", len(files) + placed) == 9
    assert len([name for name in files if (here / name).exists()]) == max(placed, 0)
    assert call(capsys, "init").code == 0
    there = {path.relative_to(here).as_posix(): path for path in here.rglob("*") if path.is_file()}
    assert there.keys() == {"mine", *files}
    assert all(there[name].read_bytes() == content for name, content in files.items())
    assert {path.stat().st_nlink for path in there.values()} == {1}
    assert call(capsys, "init").code == 2  # it was whole


def test_what_a_person_wrote_into_what_was_left_is_not_written_over(here: Path, capsys: Capture) -> None:
    files = init.project("average")
    killed(".", len(files) + 2)
    first = here / next(iter(files))
    first.write_text("mine")
    said = call(capsys, "init")
    assert (said.code, first.read_text()) == (2, "mine")
    assert f"{first.name} already exists" in said.err


def test_a_file_system_without_links(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    init.write(here, {"a": b"1", "b/c": b"2"})
    assert [path.read_bytes() for path in (here / "a", here / "b" / "c")] == [b"1", b"2"]
    assert sorted(path.name for path in here.iterdir()) == ["a", "b"]


def test_a_template_that_is_not_there(capsys: Capture) -> None:
    said = call(capsys, "init", "project", "--template", "varience")
    assert said.code == 2
    assert re.search(r"no template 'varience'\n  hint: did you mean variance\?", said.err)
    assert not Path("project").exists()
    assert "there are average" in call(capsys, "init", "-t", "q").err


def test_what_python_compiled_is_no_part_of_a_project(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(init.TEMPLATES, here / "templates")
    (here / "templates" / "common" / "data" / "__pycache__").mkdir(exist_ok=True)
    (here / "templates" / "common" / "data" / "__pycache__" / "generate.pyc").touch()
    monkeypatch.setattr(init, "TEMPLATES", here / "templates")
    assert not [name for name in init.project("average") if "__pycache__" in name]
