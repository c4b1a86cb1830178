"""What README and docs say is true: their examples run, and the commands, links, functions and keys they name exist."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

import output_page
import v6flow
from v6flow import aggregation, errors, loading
from v6flow.backends.base import Failed
from v6flow.backends.vantage6 import encryption
from v6flow.cli import init, show, sweep, validate
from v6flow.cli.commands import COMMANDS
from v6flow.cli.main import main, parser
from v6flow.core import json
from v6flow.core.checks import lint
from v6flow.core.execution import context, state
from v6flow.core.expressions import FUNCTIONS, compile, limits  # noqa: A004 - as the package calls it
from v6flow.core.kinds import STEP_KINDS, foreach, repeat, settings
from v6flow.core.kinds.base import NOT_CARRYING, SETTLED
from v6flow.core.language import problem
from v6flow.core.language.reference import reference
from v6flow.core.planning import dependencies
from v6flow.core.views import incomplete
from v6flow.core.views.base import View
from v6flow.errors import V6flowError
from v6flow.local import sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.language.problem import Path as Key

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(page for folder in (DOCS, ROOT / "workflows", init.TEMPLATES) for page in sorted(folder.rglob("*.md"))),
]
LANGUAGE = (DOCS / "language.md").read_text("utf-8")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"^# ([\w./-]*\.(?:py|R|yaml|env))$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"\bv6flow ([a-z][a-z-]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_SHELLS = ("sh", "console")
NOT_OURS = {"--no-cache-dir", "--all-files"}  # options of other programs


@dataclass(frozen=True)
class Block:
    """A fenced block; `printed` is the ```text block that follows it: what running it prints on stdout."""

    page: str
    line: int
    kind: str
    text: str
    printed: str | None = None

    @property
    def is_workflow(self) -> bool:
        return self.kind == "yaml" and {"v6flow: 1", "steps:"} <= set(self.text.splitlines())  # others are included

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> list[Block]:
    fences = list(_FENCE.finditer(text))
    found = []
    for index, fence in enumerate(fences):
        after = fences[index + 1] if index + 1 < len(fences) else None
        follows = after and after[1] == "text" and not text[fence.end() : after.start()].strip()
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, fence[1], fence[2], after[2] if after and follows else None))
    return found


BLOCKS = [block for page in PAGES for block in blocks(str(page.relative_to(ROOT)), page.read_text("utf-8"))]
WORKFLOWS = [block for block in BLOCKS if block.is_workflow]
SHOWN = [block for block in WORKFLOWS if block.printed is not None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example workflows' files, and all that the pages show as files with a name."""
    for name in ("federations", "algorithms", "data"):
        shutil.copytree(ROOT / "workflows" / name, tmp_path / name)
    for block in BLOCKS:
        named = _FILE_NAME.search(block.text)
        if named:
            (tmp_path / named[1]).write_text(block.text, "utf-8")
    return tmp_path


# ----------------------------------------------------------------------------------------------- the examples


def problems(block: Block, folder: Path) -> list[str]:
    """What `v6flow validate` says of a block that stands as a file in a folder."""
    file = folder / "shown.yaml"
    file.write_text(block.text, "utf-8")
    return [problem.message for problem in validate.check(str(file), None)]


@pytest.mark.parametrize("block", WORKFLOWS, ids=str)
def test_workflows_that_are_shown_are_valid(block: Block, folder: Path) -> None:
    assert problems(block, folder) == []


FEDERATIONS = [each for each in BLOCKS if "v6flow_federation: 1" in each.text]
FEDERATIONS = [each for each in FEDERATIONS if each.page != "docs/extending.md"]  # whose tests install a backend


@pytest.mark.parametrize("block", FEDERATIONS, ids=str)
def test_federations_that_are_shown_are_valid(block: Block, folder: Path) -> None:
    named = _FILE_NAME.search(block.text)
    assert named, "the federation's file has no name"
    assert [str(problem) for problem in validate.check(str(folder / named[1]), None)] == []


TESTS = [each for each in BLOCKS if "v6flow_test: 1" in each.text.splitlines()]


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_tests_that_are_shown_pass(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = _FILE_NAME.search(block.text)
    assert named, "the test file has no name"
    for name in ("average.yaml", "release.yaml", "variance.yaml"):
        shutil.copy(ROOT / "workflows" / name, folder)
    assert main(["test", str(folder / named[1])]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_workflows_print_what_is_shown(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "Rscript" in block.text and not _has_r():
        pytest.skip("R with jsonlite is not installed")
    monkeypatch.chdir(folder)
    # a command's `python3` is the one that runs the tests
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    Path("shown.yaml").write_text(block.text, "utf-8")
    outputs = v6flow.run("shown.yaml", store=folder / "store").check().outputs
    assert "".join(f"{name}: {json.dumps(value)}\n" for name, value in outputs.items()) == block.printed


def _has_r() -> bool:
    import subprocess

    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(["Rscript", "-e", "library(jsonlite)"], capture_output=True, check=False).returncode == 0


def test_a_mixture_of_cohorts_fails_as_shown(folder: Path) -> None:
    index, block = next((i, each) for i, each in enumerate(BLOCKS) if "name: two_passes" in each.text)
    file = folder / "two_passes.yaml"
    file.write_text(block.text.replace('"{{ steps.moments.responded }}"', "[alpha, beta]"), "utf-8")
    with pytest.raises(v6flow.RunFailedError) as failed:
        v6flow.run(file, store=folder / "store").check()
    assert BLOCKS[index + 1].text.strip() in str(failed.value)
    file.write_text(block.text, "utf-8")
    assert v6flow.run(file, store=folder / "store").check().outputs.keys() == {"variance"}


def test_there_are_examples_that_run() -> None:
    assert len(SHOWN) > 15
    assert {block.page for block in WORKFLOWS} >= {"README.md", "docs/language.md", "docs/aggregation.md"}


def test_a_wrong_example_would_be_found(folder: Path) -> None:
    good = next(block for block in WORKFLOWS if "steps.parts.results" in block.text)
    wrong = Block("page", 1, "yaml", good.text.replace("steps.parts", "steps.part"))
    assert any("no step 'part'" in message for message in problems(wrong, folder))


# ----------------------------------------------------------------------------------------------- the commands


def wrong_commands(text: str) -> list[str]:
    """Commands and options that a page names and that are not there, each with its line.

    Options belong to a command of their line; on a line without any, to any command.
    """
    found = []
    for line in _code_lines(text):
        named = _COMMAND.findall(line)
        found += [f"v6flow {command}" for command in named if command not in COMMANDS]
        candidates = [command for command in named if command in COMMANDS] or list(COMMANDS)
        known = {"--version", "--help"}.union(*(OPTIONS[command] for command in candidates))
        found += [f"{option} in {line!r}" for option in _OPTION.findall(line) if option not in known | NOT_OURS]
    return found


def _code_lines(text: str) -> list[str]:
    """The code in each line of prose, and the lines of blocks for a shell."""
    prose = _FENCE.sub("", text)
    lines = [" ".join(_CODE.findall(line)) for line in prose.splitlines()]
    for fence in _FENCE.finditer(text):
        if fence[1] in _SHELLS:
            lines += fence[2].splitlines()
    return lines


OPTIONS = {command: set(parser(command)._option_string_actions) for command in COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    assert wrong_commands(page.read_text("utf-8")) == []


def test_the_readme_names_every_command() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("## Commands")[2].partition("\n## ")[0]
    named = {code.removeprefix("v6flow ").split()[0] for row in _rows(table) for code in _CODE.findall(row[0])}
    assert named == set(COMMANDS)


def test_wrong_commands_would_be_found() -> None:
    assert wrong_commands("`v6flow runn x`") == ["v6flow runn"]
    assert wrong_commands("`v6flow graph` draws; `--retry-failed`") != []
    assert wrong_commands("```sh\nv6flow run a.yaml --parm x=1\n```\n") != []
    assert wrong_commands("v6flow orders the steps; `v6flow resume --retry-failed RUN`") == []


# -------------------------------------------------------------------------------------------------- the links


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links that lead to no file, or to no heading of it."""
    dead = []
    for link in _LINK.findall(_FENCE.sub("", text)):
        file, _, heading = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = page.parent / file if file else page
        if not target.exists() or (heading and heading not in _headings(target.read_text("utf-8"))):
            dead.append(link)
    return dead


def _headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page, page.read_text("utf-8")) == []


def test_dead_links_would_be_found() -> None:
    text = "[a](nothing.md) [b](language.md#nothing) [c](language.md#params) [d](https://x.org/y)"
    assert dead_links(DOCS / "page.md", text) == ["nothing.md", "language.md#nothing"]


# ------------------------------------------------------------------------------------------------- the tables


def _rows(text: str) -> list[list[str]]:
    """The cells of the rows of tables, without their heads."""
    rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    heads = {index - 1 for index, row in enumerate(cells) if set("".join(row)) <= set("-:")}
    return [row for index, row in enumerate(cells) if index not in heads and index - 1 not in heads]


def _section(heading: str) -> str:
    """What stands under a heading of language.md, up to the next one."""
    _, found, rest = _FENCE.sub("", LANGUAGE).partition(f"# {heading}\n")
    assert found, f"language.md has no heading {heading}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_functions_are_those_there_are() -> None:
    told = [f"{row[0].strip('`')}: {row[1]}" for row in _rows(_section("Functions"))]
    assert told == [function.doc for function in FUNCTIONS.values()]


def test_what_steps_offer_is_what_they_offer() -> None:
    told = {row[0]: set(re.findall(r"`\.(\w+)`", row[1])) for row in _rows(_section("What a step offers"))}
    text = """\
v6flow: 1
steps:
  many: {task: {method: m, image: i}}
  one: {task: {method: m, image: i, organization: a}}
  central: {task: {method: m, image: i, organization: a, central: true}}
  local: {local: {value: 1}}
  repeat: {repeat: {state: 1, max: 1, on_max: continue, steps: {v: {local: {value: 1}}}, update: 1}}
  foreach: {foreach: {over: [1], steps: {w: {local: {value: 1}}}}}
  gate: {gate: {message: m}}
"""
    steps = loading.parse_workflow(text, "w.yaml").steps
    offered = {name: set(STEP_KINDS[step.kind].offers(step)) for name, step in steps.items()}
    every = told["every step"]
    assert told["task to many"] | every == offered["many"]
    assert told["task to one"] | every == offered["one"]
    assert told["central task"] | told["task to one"] | every == offered["central"]
    assert told["local"] | every == offered["local"]
    assert told["repeat"] | every == offered["repeat"]
    assert told["foreach"] | every == offered["foreach"]
    assert told["gate"] | every == offered["gate"]
    assert f"`{' '.join(f'.{name}' for name in ('status', 'error', 'asked', 'failed', 'missing'))}`" in LANGUAGE
    assert {"status", "error", "asked", "failed", "missing"} == SETTLED


def test_what_is_refused_is_refused_and_its_remedy_is_not() -> None:
    for refused, _, remedy in _rows(_section("What is refused, and what to write")):
        for code in _expressions(refused):
            rules = {error.rule for error in compile(code).errors}
            assert rules, f"{code} is not refused"
            assert "expression-name" not in rules, f"{code} is refused for another reason"
        for code in _expressions(remedy):
            assert compile(code).errors == (), code


def _expressions(cell: str) -> list[str]:
    return [code.replace("\\|", "|") for code in _CODE.findall(cell) if code.startswith("{")]


def test_the_limits_are_those_there_are() -> None:
    told = [row[1] for row in _rows(_section("Limits"))]
    real = (limits.MAX_LENGTH, limits.MAX_NESTING, limits.MAX_RANGE, limits.MAX_STEPS, json.MAX_DIGITS, json.MAX_DEPTH)
    assert told == [f"{limit:,}" for limit in (*real, repeat.MOST, context.MAX_PROPERTIES, sweep.MOST)]
    assert repeat.MOST == foreach.MOST


@pytest.mark.parametrize("page", ["language.md", "federation.md", "server.md"])
def test_the_settings_of_defaults_are_those_there_are(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert set(settings.SETTINGS) in [set(code.split()) for code in _CODE.findall(text)]


def test_the_keys_of_tables_are_those_of_the_schemas() -> None:
    definitions = loading.read_schema("workflow")
    assert _keys("A file") == set(definitions["properties"])
    assert _keys("Task steps") == set(definitions["$defs"]["task"]["properties"])
    assert _keys("When a step runs") == set(definitions["$defs"]["step"]["properties"]) - set(STEP_KINDS)
    assert _keys("Repeat") == set(definitions["$defs"]["repeat"]["properties"])
    assert _keys("Foreach") == set(definitions["$defs"]["foreach"]["properties"])
    page = (DOCS / "federation.md").read_text("utf-8")
    keys = {key for row in _rows(page) for key in _CODE.findall(row[0])}
    federation = loading.read_schema("federation")["$defs"]
    for name in ("embedded", "embedded_organization", "algorithm"):
        assert set(federation[name]["properties"]) <= keys
    faults = set(federation["embedded_organization"]["properties"]["faults"]["properties"])
    assert faults <= {key.partition(":")[0] for key in keys}
    page = (DOCS / "testing.md").read_text("utf-8")
    told = {word for row in _rows(page) for code in _CODE.findall(row[0]) for word in re.findall(r"\w+", code)}
    test = loading.read_schema("test")
    assert set(test["properties"]) <= told
    for name in ("case", "expect", "step"):
        assert set(test["$defs"][name]["properties"]) <= told
    answers = {*test["$defs"]["outcome"]["properties"], *test["$defs"]["answer"]["x-words"]}
    assert answers - told == {"after", "log", "subtasks"}  # which stand beside them, and are told below the table
    page = (DOCS / "server.md").read_text("utf-8").partition("\n## Credentials")[0]
    told = {key for row in _rows(page) for key in _CODE.findall(row[0])}
    assert told == {*federation["vantage6"]["properties"], *federation["server_organization"]["properties"]}


def test_the_rules_are_those_there_are() -> None:
    page = (DOCS / "authoring.md").read_text("utf-8").partition("\n## Lint")[2]
    told = {row[0].strip("`"): row[1] for row in _rows(page)}
    assert told == {name: rule.summary for name, rule in lint.RULES.items()}


def test_the_templates_are_those_there_are() -> None:
    page = (DOCS / "authoring.md").read_text("utf-8").partition("\n## Start a project")[2].partition("\n### ")[0]
    assert {key for row in _rows(page) for key in _CODE.findall(row[0])} == set(init.templates())


def test_the_reference_is_what_the_schemas_say() -> None:
    """Where it is not: `v6flow schema --reference > docs/reference.md`."""
    made = reference([loading.read_schema(name) for name in loading.SCHEMA_NAMES])
    assert (DOCS / "reference.md").read_text("utf-8") == made


def test_the_kinds_of_failure_are_those_there_are() -> None:
    page = (DOCS / "server.md").read_text("utf-8").partition("\n## Failures")[2].partition("\n## ")[0]
    told = {key for row in _rows(page) for key in _CODE.findall(row[0])}
    kinds = re.findall(r"`(\w+)`", (inspect.getdoc(Failed) or "").partition(";")[0])
    assert told == {*kinds, "timeout"} - {"kind"}


def test_the_files_of_the_code_are_those_there_are() -> None:
    page = (DOCS / "architecture.md").read_text("utf-8")
    package = Path(v6flow.__file__).parent
    named = set(re.findall(r"\b(\w+)\.py\b", page))
    assert named <= {file.stem for folder in (package, ROOT / "tests", ROOT / "tools") for file in folder.rglob("*.py")}
    table = page.partition("| files | |")[2].partition("\n## ")[0]
    told = {code for row in _rows("| files | |" + table) for code in _CODE.findall(row[0])}
    assert told == {file.stem for file in (package / "backends/vantage6").glob("*.py")} - {"__init__"}


def test_every_exit_code_is_explained() -> None:
    page = (DOCS / "cron.md").read_text("utf-8").partition("\n## Exit codes")[2].partition("\n## ")[0]
    told = {int(code) for row in _rows(page) for code in row[0].split(", ")}
    families = [each for each in vars(errors).values() if hasattr(each, "exit_code")]
    assert told == {each.exit_code for each in families} | {0, 70, 124}


def _keys(heading: str) -> set[str]:
    return {key for row in _rows(_section(heading)) for key in _CODE.findall(row[0])}


def test_the_aggregations_are_those_there_are() -> None:
    page = (DOCS / "aggregation.md").read_text("utf-8")
    public = {
        name
        for name, value in vars(aggregation).items()
        if inspect.isfunction(value) and value.__module__ == aggregation.__name__ and not name.startswith("_")
    }
    table = page.partition("\n## ")[0]
    assert {row[0].strip("`") for row in _rows(table)} == public
    assert set(re.findall(r"function: v6flow\.aggregation:(\w+)", page)) == public
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == public


# ---------------------------------------------------------------------------------------- what is printed, and to whom


def test_the_page_on_output_is_what_the_views_say() -> None:
    """Where it is not: `make docs`."""
    assert output_page.page() == OUTPUT


def test_each_field_of_a_view_is_described_and_nothing_else() -> None:
    for view in output_page.VIEWS.values():
        if view.as_json is View.as_json:
            fields = set(view.__struct_fields__) - set(view.FLAT) - set(view.HIDDEN)
            assert fields == set(output_page.described(view)), view


OUTPUT = (DOCS / "output.md").read_text("utf-8")

EVERYTHING = """\
v6flow: 1
name: everything
federation: federations/hospitals.yaml
defaults: {image: "registry.example/hospital-stats:1.0"}
steps:
  parts:
    task: {method: partial_average, kwargs: {column: age}, organizations: [alpha, beta]}
    cache: 7d
    properties: {n: "{{ this.results | length }}"}
  rounds:
    repeat: {state: 0, max: 2, on_max: continue, steps: {v: {local: {value: 1}}}, update: "{{ loop.state + 1 }}"}
  items:
    foreach: {over: [1, 0], on_item_failure: continue, steps: {w: {local: {value: "{{ 1 / each.item }}"}}}}
  left_out:
    when: "{{ false }}"
    local: {value: 1}
  agreed:
    gate: {message: May it go on?}
  central:
    task: {method: central_average, central: true, organization: alpha, kwargs: {column: age}}
outputs:
  n: "{{ steps.parts.results | length }}"
"""


def _output(heading: str) -> dict[str, list[str]]:
    """The rows of the tables under a heading of output.md: the other cells, by each word of code in the first."""
    section = OUTPUT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {code: row[1:] for row in _rows(section) for code in _CODE.findall(row[0])}


@pytest.fixture
def say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Call a command in a folder with the workflow everything.yaml, and read the document that it prints."""
    monkeypatch.chdir(folder)
    (folder / "everything.yaml").write_text(EVERYTHING, "utf-8")
    shutil.copy(ROOT / "workflows" / "average.yaml", folder)

    def call(*words: str, code: int = 0) -> dict[str, Any]:
        assert main([*words, "--output", "json"]) == code
        document = json.loads(capsys.readouterr().out)
        assert isinstance(document, dict)
        return document

    return call


def test_documents_of_runs_have_the_keys_that_are_told(say: Callable[..., dict[str, Any]]) -> None:
    top = OUTPUT.partition("\n## A run as JSON\n")[2].partition("Under `steps`")[0]
    keys = [code for row in _rows(top) for code in _CODE.findall(row[0])]
    of_steps = OUTPUT.partition("Under `steps`")[2].partition("\n## ")[0]
    told: dict[str, set[str]] = {}
    for row in _rows(of_steps):
        told.setdefault(row[1], set()).update(_CODE.findall(row[0]))
    first = say("run", "everything.yaml", "--quiet", code=6)
    waiting = say("run", "everything.yaml", "--quiet", code=6)
    say("approve", waiting["run"], "agreed")
    done = say("resume", waiting["run"], "--quiet")
    every = told["every step"]
    for document in (first, waiting, done, say("status", done["run"])):
        assert list(document) == keys
        assert all(every <= set(step) for step in document["steps"].values())
    more = {name: set(step) - every for name, step in done["steps"].items()}
    assert more["parts"] == told["with properties"] | told["with a reused result"]
    assert more["rounds"] == told["repeat that has begun"]
    assert more["central"] == told["central task that has begun"]
    assert more["items"] == told["foreach that has begun"]
    assert more["left_out"] == told["skipped"]
    assert more["agreed"] == told["gate that has asked"] | told["decided gate"]
    assert set(waiting["steps"]["agreed"]) - every == told["gate that has asked"]
    assert set().union(*told.values()) == every.union(*more.values())
    assert "items[2].w" in done["steps"]  # it has failed; of the others in it nothing is said
    wrong = say("status", "nothing", code=2)
    of_a_run = ("started", "ended", "seconds", "by", "via", "key", "comment", "labels")
    assert list(wrong) == [key for key in keys if key not in of_a_run]


def test_attempts_have_the_keys_that_are_told(say: Callable[..., dict[str, Any]]) -> None:
    run = say("run", "average.yaml", "--quiet")["run"]
    told = set(_output("Attempts"))
    (attempt,) = say("explain", run, "parts")["attempts"]["alpha"]
    assert set(attempt) == told
    assert None not in (attempt["began"], attempt["size"])
    (attempt,) = say("explain", run, "pooled")["attempts"][""]
    assert set(attempt) == told - {"token", "began", "size", "image"}


def test_incomplete_results_have_the_keys_and_kinds_that_are_told(say: Callable[..., dict[str, Any]]) -> None:
    section = OUTPUT.partition("\n## Incomplete results\n")[2].partition("\n## ")[0]
    keys, kinds = (
        [_CODE.findall(row[0])[0] for row in _rows(part)]
        for part in section.replace("| kind of", "¶| kind of").split("¶")
    )
    (entry,) = say("run", "everything.yaml", "--quiet", "--no-cache", code=6)["incomplete"]
    assert list(entry) == keys
    assert entry["kind"] == "items"
    assert tuple(kinds) == incomplete.KINDS


def test_other_documents_have_the_keys_that_are_told(say: Callable[..., dict[str, Any]]) -> None:
    told = {
        cell: set(_CODE.findall(row[1])) - {"--diff"}
        for row in _rows(OUTPUT.partition("\n## Other documents\n")[2].partition("\n## ")[0])
        for cell in _CODE.findall(row[0])
    }
    run = say("run", "everything.yaml", "--quiet", code=6)["run"]
    explained = [say("explain", run, step) for step in ("parts", "rounds", "items", "left_out", "agreed")]
    assert told.pop("v6flow explain RUN STEP") == {key for each in explained for key in each}
    decided = set(say("reject", run, "agreed"))
    assert told.pop("v6flow reject RUN STEP") == told.pop("v6flow approve RUN STEP") == decided
    assert told.pop("v6flow cancel RUN") == set(say("cancel", run))
    for command, words in {
        "run --sweep …": ("run", "shown.yaml", "--sweep", "a=1,2", "--quiet"),
        "run --help-params": ("run", "average.yaml", "--help-params"),
        "list": ("list",),
        "logs RUN": ("logs", run),
        "logs RUN STEP": ("logs", run, "parts"),
        "graph WORKFLOW": ("graph", "average.yaml"),
        "plan WORKFLOW": ("plan", "average.yaml"),
        "validate FILE": ("validate", "average.yaml"),
        "lint FILE": ("lint", "average.yaml"),
        "fmt FILE": ("fmt", "average.yaml", "--diff"),
        "test FILE": ("test", "average.test.yaml"),
        "doctor WORKFLOW": ("doctor", "average.yaml"),
    }.items():
        text = "v6flow: 1\nparams: {a: {type: integer}}\nsteps: {b: {local: {value: '{{ params.a }}'}}}\n"
        Path("shown.yaml").write_text(text, "utf-8")
        assert told.pop(f"v6flow {command}") == set(say(*words)), command
    assert set(told) == {"v6flow run --detach"}  # for which a process would go on


def test_a_gate_asks_as_shown(say: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    index, block = next((i, each) for i, each in enumerate(BLOCKS) if "name: pressures" in each.text)
    shown = BLOCKS[index + 1].text.splitlines()
    Path("pressures.yaml").write_text(block.text, "utf-8")
    assert main(["run", "pressures.yaml", "--quiet"]) == 6
    asked = capsys.readouterr().err.splitlines()
    run = say("list")["runs"][0]["run"]
    example = shown[2].split()[2]
    assert [line.replace(run, example) for line in asked] == shown[1:4]
    assert main(["approve", run, "agreed", "--comment", "seen"]) == 0
    assert main(["resume", run, "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines() == shown[-2:]


def test_what_was_reused_is_explained_as_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, block = next(
        (i, each) for i, each in enumerate(BLOCKS) if each.page == "docs/language.md" and "cache: 7d" in each.text
    )
    file, store = folder / "shown.yaml", folder / "store"
    file.write_text(block.text, "utf-8")
    first, second = (v6flow.run(file, store=store).check() for _ in range(2))
    assert main(["explain", second.run, "parts", "--store", str(store)]) == 0
    told = capsys.readouterr().out
    *_, heading, line = BLOCKS[index + 1].text.splitlines()
    begins, _, rest = line.partition(line.split()[-3])
    assert f"{heading}\n{begins}{first.run}, answered " in told
    assert rest.startswith(" answered ")


def test_a_sweep_prints_what_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    command, *shown = next(each.text for each in BLOCKS if "--sweep a=" in each.text).splitlines()
    assert main(command.split()[2:]) == 0
    printed = capsys.readouterr().out.splitlines()
    ids = re.compile(r"product-\d{8}-\d{4}-\w{4}")
    assert [ids.sub("", line) for line in printed] == [ids.sub("", line) for line in shown]


def test_the_words_for_how_runs_and_steps_stand_are_those_there_are() -> None:
    section = OUTPUT.partition("\n## Status values\n")[2].partition("\n## ")[0]
    of_runs, _, of_steps = section.partition("| of a step |")
    assert {code for row in _rows(of_runs) for code in _CODE.findall(row[0])} == set(get_args(state.RunStatus))
    told = {code for row in _rows("| of a step |" + of_steps) for code in _CODE.findall(row[0])}
    assert told == {*get_args(state.StepStatus), "interrupted", "cancelled"}


def test_the_kinds_of_failure_of_steps_are_those_there_are() -> None:
    """Those of organizations are in server.md, and those of errors are below."""
    package = Path(v6flow.__file__).parent
    core = [each for each in sorted((package / "core").rglob("*.py")) if each.parent.name != "expressions"]
    sources = [package / "engine.py", package / "reports.py", *core]
    text = "".join(source.read_text("utf-8") for source in [*sources, *sorted((package / "local").glob("*.py"))])
    made = set(re.findall(r'(?:Failure|StepInvalid|Refused|failed|self\.end)\(\s*"(\w+)"', text))
    page = (DOCS / "server.md").read_text("utf-8").partition("\n## Failures")[2].partition("\n## ")[0]
    of_organizations = {key for row in _rows(page) for key in _CODE.findall(row[0])}
    kinds = OUTPUT.partition("\n## Kinds of failure\n")[2].partition("Errors that end the program")[0]
    told = {key for row in _rows(kinds) for key in _CODE.findall(row[0])}
    assert {"cohorts", "max", "memory", "disclosure", "subtask_failed"} <= made
    assert told == made - of_organizations - {"bug"}


def test_the_kinds_of_errors_are_those_there_are() -> None:
    rows = _rows(OUTPUT.partition("Errors that end the program")[2].partition("\n## ")[0])
    told = {kind: int(row[1]) for row in rows for kind in _CODE.findall(row[0])}
    found = [each for module in (errors, problem, show, sources, encryption) for each in vars(module).values()]
    signals = (errors.InterruptedRunError, errors.TerminatedRunError)
    families = [each for each in found if isinstance(each, type) and issubclass(each, (V6flowError, *signals))]
    made = {each.kind: each.exit_code for each in families if each not in (V6flowError, encryption.DecryptionError)}
    assert told == made | {"bug": 70}


def test_the_names_in_scope_are_those_there_are(tmp_path: Path) -> None:
    """Each key with expressions stands in a row of the table that has just the names it may use."""
    rows = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in _rows(_section("Names in scope"))}
    file = tmp_path / "other.yaml"
    file.write_text("v6flow: 1\nparams: {p: {type: integer}}\nsteps: {a: {local: {value: 1}}}\n", "utf-8")
    every = """\
v6flow: 1
preconditions: [{that: "{{ true }}", message: m}]
steps:
  a:
    task: {image: i, method: m, kwargs: {}, databases: [d], organizations: [o], study: s, store: s,
           isolation: organization, central: false, name: n, description: d}
    quorum: {min: 1, required: [o], wait: all}
    retry: 1
    timeout: 1h
    cache: 1d
    disclosure: {min_count: 1, count: "{{ result.n }}"}
    when: "{{ true }}"
    checks: [{that: "{{ true }}", message: m}, {each: "{{ true }}", message: m}]
    properties: {x: 1}
  b: {task: {image: i, method: m, organization: o}, quorum: 1}
  c: {local: {function: "v6flow.aggregation:total_count", kwargs: {partials: []}}, memory: 1G}
  d: {local: {command: [x]}}
  e: {local: {value: 1}}
  f: {repeat: {state: 1, max: 1, steps: {v: {local: {value: 1}}}, update: 1, until: "{{ true }}"}}
  g: {foreach: {over: [1], key: "{{ each.item }}", max_parallel: 1, steps: {w: {local: {value: 1}}}, result: 1}}
  h: {foreach: {matrix: {x: [1]}, steps: {w: {local: {value: 1}}}}}
  i: {workflow: {file: other.yaml, params: {p: 1}}}
  j: {gate: {message: m}}
outputs: {x: 1}
"""
    (tmp_path / "every.yaml").write_text(every, "utf-8")
    workflow = loading.parse_workflow(every, str(tmp_path / "every.yaml"))
    told: set[str] = set()
    for _, field in dependencies.fields(workflow):
        word = _scope_key(field.key)
        names = set(field.scope) & {"loop", "each"} if field.inside else set(field.scope)
        fitting = [cell for cell, known in rows.items() if f"`{word}`" in cell and names <= known]
        assert any(field.inside or rows[cell] == names for cell in fitting), f"{word}: {names}"
        told.add(word)
    shown = {code for cell in rows for code in _CODE.findall(cell)} - {"finally", "steps", "repeat", "foreach"}
    assert shown == told


def _scope_key(key: Key) -> str:
    """How the table calls a place: `quorum.min`, `checks.that`, `kwargs`."""
    if key[0] == "outputs":
        return "outputs"
    for outer in ("quorum", "disclosure", "checks", "preconditions"):
        if outer in key[:-1] and key[-1] != "message":
            return f"{outer}.{key[-1]}"
    return str(key[-1])


def test_what_carries_no_cohort_is_told() -> None:
    text = _section("Cohorts do not mix")
    told = next(set(re.findall(r"\.(\w+)", code)) for code in re.findall(r"`(\.status [^`]*)`", text))
    assert told == NOT_CARRYING
