"""Workflows as files: every sound one is read, and of a wrong one all problems come at once, in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from v6flow import loading
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.planning import planner
from v6flow.errors import UsageError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent / "schemas"))

from fixtures import check_fixture, invalid, read_fixture, valid  # noqa: E402 - it stands with its files

CHECK_RULES = {
    "code-argument",
    "name", "name-case", "unknown-step", "unknown-param", "unknown-attribute", "wrong-scope", "cycle",
    "param-default", "param-schema", "secret-reference", "wrong-modifier", "central-organizations",
    "isolation-quorum", "isolation-retry", "expression-syntax", "expression-name", "expression-function",
    "expression-refused", "expression-limit", "function", "misplaced-key", "repeat-until", "cross-site", "cohorts-mix",
    "only-expression", "output-schema", "disclosure-count",
}  # fmt: skip
SCHEMA_ONLY = {"everything"}  # it has every key, and names params and functions that are nowhere
EVERY = [path for stage in ("document", "schema", "check") for path in invalid(stage)]


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", [path for path in EVERY if read_fixture(path).kind == "workflow"], ids=name)
def test_wrong_workflows_are_refused(path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.read_workflow(path)
    check_fixture(path, caught.value.problems)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", [path for path in EVERY if read_fixture(path).kind == "federation"], ids=name)
def test_wrong_federations_are_refused(path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.read_document(path, kind="federation")
    check_fixture(path, caught.value.problems)


def test_every_rule_of_the_check_has_a_file() -> None:
    found = [each for path in invalid("check") if (each := read_fixture(path)).kind == "workflow"]
    assert {rule for each in found for _, _, rule, _ in each.expected} == CHECK_RULES


@pytest.mark.parametrize("path", [*valid(), *sorted((ROOT / "workflows").glob("*.yaml"))], ids=name)
def test_sound_files_are_read(path: Path) -> None:
    if path.stem in SCHEMA_ONLY:
        assert loading.read_document(path, kind="workflow").value
    elif "v6flow_federation" in path.read_text("utf-8"):
        assert loading.read_document(path, kind="federation").value
    elif "v6flow_test" in path.read_text("utf-8"):
        assert loading.read_document(path, kind="test").value
    else:
        assert loading.read_workflow(path).steps


def test_one_problem_is_told_in_the_error_and_several_are_counted() -> None:
    one = "v6flow: 1\nsteps:\n  a:\n    local: {value: '{{ params.x }}'}\n"
    with pytest.raises(InvalidError, match=r"^w\.yaml:4:31: no param 'x': this workflow has none \[unknown-param\]$"):
        loading.parse_workflow(one, "w.yaml")
    with pytest.raises(InvalidError, match=r"^w\.yaml has 2 problems$"):
        loading.parse_workflow(one + "    needs: [b]\n", "w.yaml")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "average.yaml").write_text("v6flow: 1\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        loading.read_workflow(tmp_path / "avarage.yaml")
    assert caught.value.message == f"no workflow file {tmp_path / 'avarage.yaml'}"
    assert caught.value.hint == "did you mean average.yaml?"


@pytest.mark.parametrize("name", ["hospitals.yaml", "f.yaml", "averages.yaml"])
def test_no_file_of_another_name_or_kind_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "average.yaml").write_text("# a\nv6flow: 1\n", "utf-8")
    (tmp_path / "hostel.yaml").write_text("v6flow_federation: 1\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        loading.read_federation(tmp_path / name)
    assert caught.value.hint is None


def test_a_missing_federation_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "hospitals.yaml").write_text("# a\nv6flow_federation: 1\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        loading.read_federation(tmp_path / "hospital.yaml")
    assert caught.value.hint == "did you mean hospitals.yaml?"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        loading.read_workflow(tmp_path)


def test_an_expression_in_a_federations_defaults_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        "v6flow_federation: 1\nbackend: embedded\norganizations: {a: {}}\ndefaults:\n  image: '{{ params.x }}'\n"
    )
    with pytest.raises(InvalidError) as caught:
        loading.read_federation(file)
    assert [(each.position.line, each.rule) for each in caught.value.problems] == [(5, "literal-only")]


WORDS = st.sampled_from(
    ["v6flow", "steps", "a", "b", "task", "local", "value", "kwargs", "image", "method", "outputs", "params", "quorum"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
    | st.sampled_from(["{{ steps.a.result }}", "{{ params.x }}", "{{", "{{ 1/0 }}", "{{ steps.b.results | sum }}"])
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(WORDS, TREES, max_size=6))
def test_any_yaml_is_a_workflow_or_one_kind_of_error(tree: dict[str, Any]) -> None:
    tree["v6flow"] = 1
    problems: tuple[Problem, ...] | None = None
    try:
        loading.parse_workflow(yaml.safe_dump(tree), "any.yaml")
    except InvalidError as error:
        problems = error.problems
    assert problems is None or problems  # an error that lists nothing would leave a person guessing


def test_ten_thousand_steps_are_read_ordered_and_planned() -> None:
    lines = ["v6flow: 1", "steps:", "  s0: {local: {value: 1}}"]
    lines += [f'  s{n}: {{local: {{value: "{{{{ steps.s{n - 1}.result + 1 }}}}"}}}}' for n in range(1, 10_000)]
    plan = planner.make(loading.parse_workflow("\n".join(lines), "long.yaml"), {})
    assert list(plan.steps) == [f"s{n}" for n in range(10_000)]


FEDERATION = """\
v6flow_federation: 1
backend: embedded
organizations:
  a: {databases: {d: {uri: "DATABASE", type: sql}}, environment: {KEY: "${file:key.txt}"}}
algorithms:
  i: {package: PACKAGE, path: algorithms}
"""


def federation_problems(folder: Path, database: str = "a.csv", package: str = "pooling") -> list[tuple[str, ...]]:
    """What is wrong with a federation, in a folder with `a.csv`, `key.txt` and the packages pooling and one.two."""
    for name in ("a.csv", "key.txt"):
        (folder / name).touch()
    for name in ("pooling", "one"):
        (folder / "algorithms" / name).mkdir(parents=True)
    (folder / "algorithms" / "one" / "two.py").touch()
    file = folder / "federation.yaml"
    file.write_text(FEDERATION.replace("DATABASE", database).replace("PACKAGE", package), "utf-8")
    found = loading.check_federation(file)
    return [(str(each.position.line), each.rule, each.severity, each.message, each.hint or "") for each in found]


@pytest.mark.parametrize(
    "database", ["a.csv", "sqlite:///a.csv", "sqlite:///:memory:", "${env:DATA}", "postgresql://h/d"]
)
@pytest.mark.parametrize("package", ["pooling", "one.two"])
def test_a_federation_that_names_what_is_there(
    database: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", str(tmp_path / "a.csv"))
    assert federation_problems(tmp_path, database, package) == []


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("b.csv", ("4", "missing-file", "error", "no database file b.csv", "")),
        ("sqlite:///b.db", ("4", "missing-file", "error", "no database file b.db", "")),
        ("${env:DATA}", ("4", "missing-file", "error", "no database file: what ${env:DATA} stands for", "")),
        (
            "${env:NONE}",
            (
                "4",
                "reference",
                "warning",
                "the environment variable NONE is not set",
                "${env:NONE} refers to it; a file .env beside the federation file is read too",
            ),
        ),
        ("${file:no}", ("4", "reference", "warning", "${file:no} cannot be read: No such file or directory", "")),
    ],
)
def test_a_database_that_is_not_there(
    database: str, told: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", "sqlite:///secret.db")
    monkeypatch.delenv("NONE", raising=False)
    assert federation_problems(tmp_path, database) == [told]


@pytest.mark.parametrize(
    ("package", "hint"), [("poling", "did you mean pooling?"), ("one.tow", "did you mean one.two?"), ("x", "")]
)
def test_a_package_that_is_not_in_its_folder(package: str, hint: str, tmp_path: Path) -> None:
    message = f"no package {package} in the folder algorithms"
    assert federation_problems(tmp_path, package=package) == [("6", "missing-file", "error", message, hint)]


def test_an_environment_that_cannot_be_resolved_is_told(tmp_path: Path) -> None:
    assert federation_problems(tmp_path) == []
    (tmp_path / "key.txt").unlink()
    (problem,) = loading.check_federation(tmp_path / "federation.yaml")
    assert (problem.rule, problem.severity) == ("reference", "warning")
    assert str(problem).startswith(f"{tmp_path / 'federation.yaml'}:4:")
    assert ": warning: ${file:key.txt} cannot be read" in str(problem)


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        ("1", False),
        ("federation", False),
        ("{{ federation.organizations }}", True),
        ("{{ organization_ids(['a']) }}", True),
    ],
)
def test_a_missing_federation_matters_only_where_it_is_used(
    value: str, needed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("V6FLOW_FEDERATION", raising=False)
    text = f'v6flow: 1\nfederation: nowhere.yaml\nsteps:\n  a:\n    local: {{value: "{value}"}}\n'
    workflow = loading.parse_workflow(text, str(tmp_path / "w.yaml"))
    file = str(tmp_path / "nowhere.yaml")
    assert loading.federation_file(workflow, None) == (file if needed else None)
    assert loading.federation_file(workflow, file) == file
    (tmp_path / "nowhere.yaml").touch()
    assert loading.federation_file(workflow, None) == file


@pytest.mark.parametrize(
    ("count", "rule"),
    [
        ("{{ result.n }}", None),
        ("{{ params.n }}", "disclosure-count"),
        ("{{ 10 }}", "disclosure-count"),
        ("{{ result.n + }}", "expression-syntax"),
    ],
)
def test_a_federation_may_say_where_a_result_has_its_count(count: str, rule: str | None, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "v6flow_federation: 1\nbackend: embedded\norganizations: {alpha: {}}\n"
        f'defaults: {{disclosure: {{min_count: 5, count: "{count}"}}}}\n',
        "utf-8",
    )
    if rule is None:
        assert loading.read_federation(file).defaults["disclosure"] == {"min_count": 5, "count": count}
        return
    with pytest.raises(InvalidError) as caught:
        loading.read_federation(file)
    assert [(each.rule, each.position.line) for each in caught.value.problems] == [(rule, 4)]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        ("{{ result.n }}", None),
        ("{{ result.n if organization == 'alpha' else result.m }}", None),
        ("{{ params.n + result.n }}", "5:27: params cannot be used here: a federation's count is told from the result"),
        ("{{ steps.a.result }}", "5:27: steps cannot be used here: a federation's count is told from the result"),
        ("{{ 1000 }}", "5:23: `count` does not depend on the result"),
        ("{{ result.n + }}", "5:36: not an expression"),
    ],
)
@pytest.mark.parametrize("backend", ["embedded", "vantage6"])
def test_a_policy_may_say_where_a_result_has_its_count(
    backend: str, count: str, told: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "f.yaml"
    which = "backend: embedded\norganizations: {alpha: {}}\n"
    if backend == "vantage6":
        which = 'backend: vantage6\nserver: "https://x/api"\ncollaboration: c\nusername: u\npassword: "${env:P}"\n'
    file.write_text(f'v6flow_federation: 1\n{which}policy:\n  counts: {{"a:1": {{m: "{count}"}}}}\n', "utf-8")
    if told is None:
        assert loading.read_federation(file).policy.counts == ({"a:1": {"m": count}},)
        return
    with pytest.raises(InvalidError) as caught:
        loading.read_federation(file)
    line = 5 if backend == "embedded" else 8
    (problem,) = caught.value.problems
    found = f"{problem.position.line}:{problem.position.column}: {problem.message}"
    assert found.startswith(told.replace("5:", f"{line}:", 1)), found


def test_counts_of_an_image_that_no_algorithm_has_are_told(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "v6flow_federation: 1\nbackend: embedded\norganizations: {alpha: {}}\n"
        "algorithms: {'registry.example/stats:1.0': {package: p}}\n"
        "policy:\n  counts:\n    registry.example/stats: {m: '{{ result.n }}'}\n"
        "    'registry.example/*': {m: '{{ result.n }}'}\n"
        "    registry.example/stat:1.0: {m: '{{ result.n }}'}\n",
        "utf-8",
    )
    (problem,) = loading.check_federation(file)
    assert (problem.severity, problem.rule, problem.position.line) == ("warning", "unknown-image", 9)
    assert problem.hint == "did you mean registry.example/stats:1.0?"
