"""What validation accepts runs to an end; what it refuses would have failed, or sent on what one hospital answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from driver import ORGANIZATIONS, Driver
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from random_workflows import MAIN, REASON, Files, load, make, sound, spelt, write
from world import World

from v6flow import loading
from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask
from v6flow.core.kinds import WorkflowPlan
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning.graph import StepGraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan

KNOWABLE = re.compile(
    r"no step '|does not offer '|is not known here|no param '|has names, and no"
    r"|(loop|each|run|federation|params) has no"
)
"""What an expression says at run time of names that the file alone tells to be wrong."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def failures(run: Driver) -> Iterator[ev.Failure]:
    """Everything that went wrong in a run."""
    if run.state.failure is not None:
        yield run.state.failure
    for step in run.state.steps.values():
        if step.failure is not None:
            yield step.failure
        for item in step.items or ():
            if item.failure is not None:
                yield item.failure


def known_beforehand(run: Driver) -> list[str]:
    """What went wrong in a run and could have been told from its files."""
    return [each.message for each in failures(run) if KNOWABLE.search(each.message)]


# -- what is accepted


@settings(max_examples=200)
@given(files=sound(), seed=st.integers(0, 1000))
def test_what_is_accepted_runs_to_an_end(folder: Path, files: Files, seed: int) -> None:
    run = World(seed).play(Driver(make(load(folder, files), folder)))
    assert run.state.status in ("completed", "failed")
    assert known_beforehand(run) == []
    assert all(step.status in ("completed", "failed", "skipped") for step in run.state.steps.values())
    for step in run.state.steps.values():
        if step.failure is not None and step.failure.kind == "skipped":  # else it would have been skipped itself
            within = [
                each for each in run.state.steps.values() if each.name.startswith((f"{step.name}[", f"{step.name}."))
            ]
            assert any((each.cause or each.name) in {other.name for other in within} for each in within
                       if each.status != "completed"), step.name  # fmt: skip
        if step.reason == "failed":
            assert run.state.step(step.cause or "").status == "failed"


# -- what is refused: references drawn freely, sound or not


class Names(Struct, frozen=True):
    """The steps that there will be, by what they offer, and what else may be named at a place."""

    steps: tuple[tuple[str, str], ...]  # names and kinds, wherever they stand
    sound: tuple[tuple[str, str], ...] = ()  # those that may be used here
    around: tuple[str, ...] = ()


ATTRIBUTES = ("result", "results", "by_organization", "responded", "status", "history", "by_key", "summary", "nope")
OTHERS = (
    *("params.n", "params.n", "run.id", "federation.organizations", "params.nope", "run.status", "run.nope"),
    *("loop.state", "loop.index", "loop.next", "each.item", "each.index", "this.status", "organization", "result.x"),
    *("federation.nope", "matrix.a", "env.HOME", "loop.outer.state", "each.other"),
)
USES = {
    "task": (
        *("sum(steps.{0}.results, attribute='x')", "steps.{0}.results | length", "steps.{0}.responded"),
        *("steps.{0}.results[0].x", "max(steps.{0}.results, attribute='x')", "steps.{0}.results"),
        *("steps.{0}.results | map(attribute='x') | sort", "steps.{0}.by_organization['beta']"),
        *("mean(steps.{0}.results, attribute='x') + 1", "steps.{0}.results[1].x * 2"),
    ),
    "single": ("steps.{0}.result", "steps.{0}.result.x", "steps.{0}.responded"),
    "repeat": ("steps.{0}.result", "steps.{0}.history", "steps.{0}.iterations"),
    "foreach": ("steps.{0}.results", "steps.{0}.by_key", "steps.{0}.summary", "sum(steps.{0}.results)"),
    "workflow": ("steps.{0}.result", "steps.{0}.result.o", "steps.{0}.responded"),
}


class Free:
    """Draws files whose references are chosen among all names, sound or not; each of their steps would run."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def some(self, *choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))

    def chance(self, *, one_in: int) -> bool:
        return bool(self._draw(st.integers(1, one_in)) == one_in)

    def files(self) -> Files:
        main: dict[str, Any] = {"v6flow": 1, "name": "w", "params": {"n": {"default": 2}}}
        kinds = [self._kind(f"s{number}") for number in range(self._draw(st.integers(1, 4)))]
        everything = [
            *((name, kind) for name, kind in kinds),
            *(each for name, kind in kinds for each in _inside(name, kind)),
        ]
        ending = self.chance(one_in=3)
        if ending:
            everything.append(("end", "value"))
        inner_kinds = (("i0", self.some("task", "single", "value")), ("i1", self.some("task", "value")))
        names = Names((*everything, *inner_kinds[:1], ("nope", "value")))
        main["steps"] = self._together(kinds, names)
        main["outputs"] = {"o": {"value": self.value(replace(names, sound=tuple(kinds))), "mixed_cohorts": REASON}}
        if ending:
            within = replace(names, sound=tuple(kinds), around=("run.status",))
            main["finally"] = {"end": self._step("end", "value", within)}
        if not any(kind == "workflow" for _, kind in kinds):
            return {MAIN: main}
        inside = Names((*inner_kinds, *kinds[:1], ("nope", "value")), around=("params.p", "params.p"))
        inner: dict[str, Any] = {"v6flow": 1, "params": {"p": {}, "n": {"default": 1}}}
        inner["steps"] = self._together(list(inner_kinds), inside)
        output = self.value(replace(inside, sound=inner_kinds))
        return {MAIN: main, "f.yaml": {**inner, "outputs": {"o": {"value": output, "mixed_cohorts": REASON}}}}

    def _kind(self, name: str) -> tuple[str, str]:
        return name, self.some("value", "value", "local", "task", "task", "task", "single", *NESTING)

    def _together(self, kinds: list[tuple[str, str]], names: Names) -> dict[str, Any]:
        return {
            name: self._step(name, kind, replace(names, sound=(*names.sound, *kinds[:number])))
            for number, (name, kind) in enumerate(kinds)
        }

    def reference(self, names: Names) -> str:
        """A use of some name: mostly one that may be used here."""
        if self.chance(one_in=12):
            return f"steps.{self.some(*names.steps)[0]}.{self.some(*ATTRIBUTES)}"
        if self.chance(one_in=12):
            return str(self.some(*OTHERS))
        if names.around and self.chance(one_in=3):
            return str(self.some(*names.around))
        if not names.sound or self.chance(one_in=6):
            return str(self.some("params.n", "run.id", "3"))
        name, kind = self.some(*names.sound)
        return str(self.some(*USES.get(kind, ("steps.{0}.result",)))).format(name)

    def value(self, names: Names) -> Any:
        whole = f"{{{{ {self.reference(names)} }}}}"
        if self.chance(one_in=3):
            return self.some(
                [whole, "x"], {"a": whole}, f"{{{{ [{self.reference(names)}, {self.reference(names)}] }}}}"
            )
        return whole

    def _step(self, name: str, kind: str, names: Names) -> dict[str, Any]:
        step = {**getattr(self, f"_{kind}")(name, names), "mixed_cohorts": REASON}
        if self.chance(one_in=12):
            step["needs"] = [self.some(*names.steps)[0]]
        if kind in ("task", "value") and self.chance(one_in=20):
            step["allow_cross_site"] = REASON
        return step

    def _value(self, _: str, names: Names) -> dict[str, Any]:
        return {"local": {"value": self.value(names)}}

    def _local(self, _: str, names: Names) -> dict[str, Any]:
        return {"local": {"function": "m.py:f", "kwargs": {"x": self.value(names)}}}

    def _task(self, _: str, names: Names) -> dict[str, Any]:
        task: dict[str, Any] = {"method": "m", "kwargs": {"x": self.value(names)}}
        tasks = [name for name, kind in names.sound if kind == "task"]
        if tasks and self.chance(one_in=3):
            task["kwargs"]["own"] = f"{{{{ steps.{self.some(*tasks)}.by_organization[organization] }}}}"
        if self.chance(one_in=4):
            where = f"steps.{self.some(*names.steps)[0]}.responded" if self.chance(one_in=3) else "params.names"
            task["organizations"] = f"{{{{ steps.{self.some(*tasks)}.responded }}}}" if tasks else f"{{{{ {where} }}}}"
        step: dict[str, Any] = {"task": task}
        if self.chance(one_in=8):
            step["quorum"] = f"{{{{ {self.reference(names)} }}}}"
        if self.chance(one_in=10):
            step["timeout"] = f"{{{{ {self.reference(names)} }}}}h"
        return step

    def _single(self, _: str, names: Names) -> dict[str, Any]:
        return {
            "task": {"method": "m", "organization": self.some("alpha", "gamma"), "kwargs": {"x": self.value(names)}}
        }

    def _repeat(self, name: str, names: Names) -> dict[str, Any]:
        within = replace(names, around=(*names.around, "loop.state", "loop.index"))
        inside = _inside(name, "repeat")
        return {
            "repeat": {
                "state": self.value(names),
                "max": 3,
                "on_max": "continue",
                "steps": self._together(inside, within),
                "update": self.value(replace(within, sound=(*names.sound, *inside))),
                **(
                    {"until": f"{{{{ {self.some('loop.index', 'each.index', 'this.x')} > 4 }}}}"}
                    if self.chance(one_in=4)
                    else {}
                ),
            }
        }

    def _foreach(self, name: str, names: Names) -> dict[str, Any]:
        tasks = [name for name, kind in names.sound if kind == "task"]
        lists = [[1, 2], "{{ range(3) }}", *(f"{{{{ steps.{each}.results }}}}" for each in tasks)]
        within = replace(names, around=(*names.around, "each.item", "each.index"))
        inside = _inside(name, "foreach")
        return {
            "foreach": {
                "over": self.some(*lists),
                "steps": self._together(inside, within),
                "result": self.value(replace(within, sound=(*names.sound, *inside))),
            }
        }

    def _workflow(self, _: str, names: Names) -> dict[str, Any]:
        return {"workflow": {"file": "f.yaml", "params": {"p": self.value(names)}}}


NESTING = ("repeat", "foreach", "workflow")


def _inside(name: str, kind: str) -> list[tuple[str, str]]:
    """The steps in a step, and what kind they are of."""
    kinds = {"repeat": ("task", "value"), "foreach": ("task", "value")}.get(kind, ())
    return [(f"{name}_{number}", each) for number, each in enumerate(kinds)]


@st.composite
def free(draw: st.DrawFn) -> Files:
    """Files that are sound by the schema, whose references may name anything."""
    return Free(draw).files()


class Tagged(World):
    """All goes well, and each answer is a number of its own, the same whatever was asked.

    For one organization, `unseen`, the others' answers can be moved so that no sum over all of a step's changes:
    what it is sent then only differs if it has single answers in it. Child processes aggregate: they yield constants.
    """

    def __init__(self, unseen: str | None = None) -> None:
        super().__init__(0, calm=True)
        self._unseen = unseen
        self.tags: dict[int, set[str]] = {}  # the organizations that gave a number as their answer

    def answer(self, step: str, organization: str, token: str, kwargs: Json) -> Json:
        number = 1_000_000 + self.dice("tag", step, organization, sides=100_000_000)
        number += self._moved(organization)
        self.tags.setdefault(number, set()).add(organization)
        return {"x": number, "count": 9}

    def _moved(self, organization: str) -> int:
        if self._unseen is None or organization == self._unseen:
            return 0
        first = next(name for name in ORGANIZATIONS if name != self._unseen)
        return 11 if organization == first else -11

    def computes(self, step: str, kwargs: Json) -> Json:
        return {"x": 7}


def forced(folder: Path, files: Mapping[str, Any], *, known: bool = True) -> Plan:
    """The plan of files that validation may have refused, as far as there is one; of steps that are known only."""
    write(folder, files)
    kept = {str(folder / name): spelt(value) for name, value in files.items()}
    made = make(loading.parse_kept(kept[str(folder / MAIN)], str(folder / MAIN), kept), folder)
    if not known:
        return made
    needs = {name: [each for each in sources if each in made.steps] for name, sources in made.needs.items()}
    return replace(made, needs=needs, graph=StepGraph(needs))


EVERYBODY = "everybody"


def sent(run: Driver) -> dict[tuple[str, str], Json]:
    """What was sent to whom by each step: to all, where it is given to a file that asks organizations."""
    asked = [command.request for command in run.commands if isinstance(command, Ask)]
    found: dict[tuple[str, str], Json] = {
        (request.step, name): dict(kwargs) for request in asked for name, kwargs in request.kwargs.items()
    }
    for given_ in run.named(ev.ParamsGiven):
        planned = run.plan.step(given_.step)
        assert isinstance(planned, WorkflowPlan)
        if planned.inner.asks_organizations():
            found[given_.step, EVERYBODY] = given_.value
    return found


def leaks(made: Plan) -> list[str]:
    """The steps by which organizations are sent what another one answered, seen from what they are sent."""
    world = Tagged()
    plain = sent(world.play(Driver(made)))
    found = []
    for (step, name), value in plain.items():
        others = {number for number, whose in world.tags.items() if whose != {name}}
        if others & set(_numbers(value)):
            found.append(step)
    for unseen in ORGANIZATIONS:
        moved = sent(Tagged(unseen).play(Driver(made)))
        found += [
            step
            for (step, name), value in plain.items()
            if name in (unseen, EVERYBODY) and moved.get((step, name)) != value
        ]
    return sorted(set(found))


def single_answers(made: Plan) -> bool:
    """Whether anybody is sent a single answer as it is, even their own, but for what is known to be their own.

    Which of several answers comes first depends on who answers.
    """
    world = Tagged()
    values = sent(world.play(Driver(made))).values()
    plain = [{key: each for key, each in value.items() if key != "own"} for value in values if isinstance(value, dict)]
    return bool(world.tags.keys() & set(_numbers(plain)))


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int):
        yield value


@settings(max_examples=300)
@given(files=free())
def test_what_is_refused_would_have_failed_or_leaked_and_what_is_accepted_does_neither(
    folder: Path, files: Files
) -> None:
    made: Plan | None = None
    try:
        made = make(load(folder, files), folder)
    except InvalidError as error:
        event(f"refused: {min(each.rule for each in error.problems if each.severity == 'error')}")
        assert_in_place(error, files)
        refused = [str(each) for each in error.problems]
    if made is None:
        how = what_comes_of(folder, files)
        event(how)
        assert how != "nothing", refused
        return
    run = Tagged().play(Driver(made))
    event(f"accepted, {run.state.status}")
    assert known_beforehand(run) == []
    if "allow_cross_site" not in str(files):
        assert leaks(made) == []


def what_comes_of(folder: Path, files: Mapping[str, Any]) -> str:
    """What a run of refused files comes to: it cannot begin or go on, it fails, it leaks; or nothing happens."""
    try:
        made = forced(folder, files)
        run = Tagged().play(Driver(made))
    except InvalidError:
        return "it cannot be planned"
    except Exception as error:  # noqa: BLE001 - whatever it is, such a run does not go on
        return f"it breaks: {type(error).__name__}"
    if known_beforehand(run):
        return "it fails by what the file tells"
    skipped = [step for step in run.state.steps.values() if step.status == "skipped"]
    if any(run.state.step(step.cause or "").status not in ("failed", "skipped") for step in skipped):
        return "a step never runs"
    if any(True for _ in failures(run)):
        return "it fails"
    if leaks(made) or single_answers(made):
        return "it leaks"
    try:
        Tagged().play(Driver(forced(folder, files, known=False)))
    except KeyError:
        return "it waits for a step that there is not"
    return "nothing"


def assert_in_place(error: InvalidError, files: Mapping[str, Any]) -> None:
    """Every problem has a place in its file."""
    for each in error.problems:
        lines = spelt(files[each.file.rpartition("/")[2]]).splitlines()
        assert 1 <= each.position.line <= len(lines), each
        assert 1 <= each.position.column <= len(lines[each.position.line - 1]) + 1, each


# -- what is refused: one thing broken in files that are sound

RUNS_INTO = "what the file tells"  # a forced run fails by a name, or breaks on it
CANNOT_BEGIN = "no plan"  # there is no plan even without the check, or none that comes to an end
LEAKS = "a leak"
PROTECTS = None  # there is nothing to run, or nothing but a person would be harmed: it is only refused


class Mutation(Struct, frozen=True):
    """One thing that breaks a file: what is added where, which rule refuses it, and what stands at its place.

    `step` is added beside the steps of any level, or of the outer one where it is sound elsewhere; `file` changes the
    file itself.
    """

    rule: str
    mark: str
    step: Any = None
    file: Any = None
    proof: str | None = PROTECTS
    outer: bool = False


def value(expression: str) -> dict[str, Any]:
    return {"local": {"value": f"{{{{ {expression} }}}}"}}


def task(**more: Any) -> dict[str, Any]:
    return {"task": {"method": "m", **more}, "quorum": "all"}  # whatever the defaults of the file


def repeat(**more: Any) -> dict[str, Any]:
    inside = {"zz_in": {"local": {"value": 1}}}
    return {"repeat": {"state": 0, "max": 2, "on_max": "continue", "steps": inside, "update": 1, **more}}


def foreach(**more: Any) -> dict[str, Any]:
    return {"foreach": {"over": [1], "steps": {"zz_in": {"local": {"value": 1}}}, **more}}


TWO: dict[str, Any] = {"zz": task()}
MUTATIONS: dict[str, Mutation] = {
    "unknown step": Mutation("unknown-step", "nope", {"zz": value("steps.nope.result")}, proof=RUNS_INTO),
    "unknown param": Mutation("unknown-param", "nope", {"zz": value("params.nope")}, proof=RUNS_INTO),
    "unknown attribute": Mutation(
        "unknown-attribute", "results", {"zz": value("1"), "zy": value("steps.zz.results")}, proof=RUNS_INTO
    ),
    "unknown of the run": Mutation("unknown-attribute", "user", {"zz": value("run.user")}, proof=RUNS_INTO),
    "unknown of the federation": Mutation("unknown-attribute", "ids", {"zz": value("federation.ids")}, proof=RUNS_INTO),
    "a nested step from outside": Mutation(
        "unknown-step", "zz_in", {"zz": repeat(), "zy": value("steps.zz_in.result")}, proof=RUNS_INTO
    ),
    "the step around": Mutation(
        "unknown-step", "steps.zz.", {"zz": repeat(steps={"zz_in": value("steps.zz.result")})}, proof=RUNS_INTO
    ),
    "itself": Mutation("cycle", "zz", {"zz": value("steps.zz.result")}, proof=CANNOT_BEGIN),
    "a cycle": Mutation(
        "cycle", "zz", {"zz": value("steps.zy.result"), "zy": {**value("1"), "needs": ["zz"]}}, proof=CANNOT_BEGIN
    ),
    "a cycle by a condition": Mutation(
        "cycle",
        "zz",
        {"zz": {**value("1"), "when": "{{ steps.zy.status == 'failed' }}"}, "zy": value("steps.zz.result")},
        proof=CANNOT_BEGIN,
    ),
    "needs nobody": Mutation("unknown-step", "nope", {"zz": {**value("1"), "needs": ["nope"]}}, proof=RUNS_INTO),
    "a round outside of any": Mutation("wrong-scope", "loop", {"zz": value("loop.index")}, proof=RUNS_INTO, outer=True),
    "an item outside of any": Mutation("wrong-scope", "each", {"zz": value("each.key")}, proof=RUNS_INTO, outer=True),
    "the next state too early": Mutation(
        "unknown-attribute", "next", {"zz": repeat(update="{{ loop.next }}")}, proof=RUNS_INTO
    ),
    "an item by another name": Mutation(
        "unknown-attribute", "it", {"zz": foreach(result="{{ each.it }}")}, proof=RUNS_INTO
    ),
    "this in kwargs": Mutation("wrong-scope", "this", {"zz": task(kwargs={"x": "{{ this.status }}"})}, proof=RUNS_INTO),
    "the organization elsewhere": Mutation(
        "wrong-scope", "organization", {"zz": value("organization")}, proof=RUNS_INTO
    ),
    "a result by itself": Mutation("wrong-scope", "result", {"zz": value("result.x")}, proof=RUNS_INTO),
    "a method by an answer": Mutation(
        "wrong-scope",
        "steps",
        {"zz": value("'m'"), "zy": {"task": {"method": "{{ steps.zz.result }}"}}},
        proof=CANNOT_BEGIN,
    ),
    "a timeout by an answer": Mutation(
        "wrong-scope",
        "steps",
        {"zz": value("1"), "zy": {**task(), "timeout": "{{ steps.zz.result }}h"}},
        proof=CANNOT_BEGIN,
    ),
    "a stranger": Mutation("setting", "nobody", {"zz": task(organizations=["alpha", "nobody"])}, proof=CANNOT_BEGIN),
    "twins": Mutation(
        "duplicate-item", "beta", {"zz": task(organizations=["beta", "alpha", "beta"])}, proof=CANNOT_BEGIN
    ),
    "an unknown study": Mutation("setting", "third", {"zz": task(study="third")}, proof=CANNOT_BEGIN),
    "a quorum above those asked": Mutation("setting", "7", {"zz": {**task(), "quorum": 7}}, proof=CANNOT_BEGIN),
    "a stranger required": Mutation(
        "setting",
        "quorum",
        {"zz": {**task(organization="beta"), "quorum": {"required": ["alpha"]}}},
        proof=CANNOT_BEGIN,
    ),
    "min above those asked": Mutation(
        "setting", "quorum", {"zz": {**task(organizations=["alpha", "beta"]), "quorum": {"min": 3}}}, proof=CANNOT_BEGIN
    ),
    "one task for all, and some will do": Mutation(
        "isolation-quorum", "quorum", {"zz": {**task(isolation="task"), "quorum": 1}}, proof=CANNOT_BEGIN
    ),
    "text beside a condition": Mutation(
        "only-expression", "when", {"zz": {**value("1"), "when": "{{ 1 > 0 }} and {{ 2 > 1 }}"}}
    ),
    "bare text in until": Mutation("bad-value", "until", {"zz": repeat(until="done")}),
    "rounds without an end": Mutation("repeat-until", "max", {"zz": repeat(on_max="fail")}),
    "no rounds": Mutation("out-of-range", "max", {"zz": repeat(max=0)}, proof=CANNOT_BEGIN),
    "no attempts": Mutation("out-of-range", "retry", {"zz": {**task(), "retry": 0}}, proof=CANNOT_BEGIN),
    "nothing at once": Mutation("out-of-range", "max_parallel", {"zz": foreach(max_parallel=0)}, proof=CANNOT_BEGIN),
    "a number for a duration": Mutation("wrong-type", "timeout", {"zz": {**task(), "timeout": 30}}, proof=CANNOT_BEGIN),
    "no duration": Mutation("bad-value", "timeout", {"zz": {**task(), "timeout": "3 weeks"}}, proof=CANNOT_BEGIN),
    "an unknown key": Mutation("unknown-key", "colour", {"zz": {**value("1"), "colour": "red"}}),
    "two kinds": Mutation("exclusive-keys", "task", {"zz": {**value("1"), **task()}}),
    "a word of another kind": Mutation("misplaced-key", "quorum", {"zz": {**value("1"), "quorum": 1}}),
    "names that differ in case": Mutation("name-case", "ZZ", {"zz": value("1"), "ZZ": value("2")}),
    "a reserved name": Mutation("name", "loop", {"loop": value("1")}),
    "a name that stands outside": Mutation("name", "zz", {"zz": repeat(steps={"zz": value("1")})}),
    "syntax": Mutation("expression-syntax", "1 +", {"zz": value("1 +")}, proof=RUNS_INTO),
    "a statement": Mutation("expression-refused", "{%", {"zz": {"local": {"value": "{% if 1 %}"}}}, proof=RUNS_INTO),
    "an unknown function": Mutation("expression-function", "median", {"zz": value("median([1])")}, proof=RUNS_INTO),
    "a secret": Mutation("secret-reference", "${env", {"zz": task(kwargs={"x": "${env:HOME}"})}),
    "each of nobody": Mutation(
        "wrong-modifier", "each", {"zz": {**value("1"), "checks": [{"each": "{{ result > 1 }}", "message": "m"}]}}
    ),
    "time for a value": Mutation("wrong-modifier", "timeout", {"zz": {**value("1"), "timeout": "1h"}}),
    "no such function": Mutation("function", "m.py:g", {"zz": {"local": {"function": "m.py:g"}}}),
    "no such file": Mutation("workflow", "gone.yaml", {"zz": {"workflow": {"file": "gone.yaml"}}}, proof=CANNOT_BEGIN),
    "files that run each other": Mutation("cycle", MAIN, {"zz": {"workflow": {"file": MAIN}}}),
    "a single answer to all": Mutation(
        "cross-site", "results[0]", {**TWO, "zy": task(kwargs={"x": "{{ steps.zz.results[0].x }}"})}, proof=LEAKS
    ),
    "the largest answer to all": Mutation(
        "cross-site",
        "zz.results",
        {**TWO, "zy": task(kwargs={"x": "{{ steps.zz.results | map(attribute='x') | max }}"})},
        proof=LEAKS,
    ),
    "one hospital's answer to another": Mutation(
        "cross-site",
        "zz.result",
        {
            "zz": task(organization="alpha"),
            "zy": {**task(organization="beta", kwargs={"x": "{{ steps.zz.result }}"}), "mixed_cohorts": REASON},
        },
        proof=LEAKS,
    ),
    "an answer by way of a value": Mutation(
        "cross-site",
        "zx.result",
        {
            **TWO,
            "zx": value("{'k': [steps.zz.by_organization['beta'].x]}"),
            "zy": task(kwargs={"x": "{{ steps.zx.result.k }}"}),
        },
        proof=LEAKS,
    ),
    "an answer by way of rounds": Mutation(
        "cross-site",
        "loop.state",
        {
            "zz": repeat(
                steps={"zz_in": task(kwargs={"x": "{{ loop.state }}"})},
                update="{{ steps.zz_in.results[0].x + 1 }}",
                max=2,
            )
        },
        proof=LEAKS,
    ),
    "an answer by way of items": Mutation(
        "cross-site",
        "each.item",
        {**TWO, "zy": foreach(over="{{ steps.zz.results }}", steps={"zz_in": task(kwargs={"x": "{{ each.item }}"})})},
        proof=LEAKS,
    ),
    "an unknown param in an output": Mutation(
        "unknown-param", "nope", file={"outputs": {"zz": "{{ params.nope }}"}}, proof=RUNS_INTO
    ),
    "an unknown step in an output": Mutation(
        "unknown-step", "nope", file={"outputs": {"zz": "{{ steps.nope.result }}"}}, proof=RUNS_INTO
    ),
    "how the run ends, before it has": Mutation(
        "unknown-attribute", "status", file={"outputs": {"zz": "{{ run.status }}"}}, proof=RUNS_INTO
    ),
    "a default that does not fit": Mutation(
        "param-default", "many", file={"params": {"zz": {"type": "integer", "default": "many"}}}
    ),
    "a precondition that does not hold": Mutation(
        "precondition", "1 > 2", file={"preconditions": [{"that": "{{ 1 > 2 }}", "message": "m"}]}, proof=CANNOT_BEGIN
    ),
    "an unknown section": Mutation("unknown-key", "stages", file={"stages": {}}),
    "an include that is not there": Mutation(
        "include", "gone.yaml", file={"include": ["gone.yaml"]}, proof=CANNOT_BEGIN
    ),
    "a bad default": Mutation("bad-value", "timeout", file={"defaults": {"timeout": "soon"}}),
}


def levels(steps: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings of steps in a file: the outer one, and those of rounds and items."""
    yield steps
    for step in steps.values():
        for kind in ("repeat", "foreach"):
            if kind in step:
                yield from levels(step[kind]["steps"])


@st.composite
def broken(draw: st.DrawFn, mutation: Mutation) -> tuple[Files, bool]:
    """Sound files with one thing broken, and whether that stands where the run is sure to come."""
    files = draw(sound(most=4))
    if mutation.file is not None:
        for key, added in mutation.file.items():
            there = files[MAIN].get(key)
            files[MAIN][key] = [*(there or ()), *added] if isinstance(added, list) else {**(there or {}), **added}
        return files, True
    outer = files[MAIN]["steps"]
    tops = [file[key] for file in files.values() for key in ("steps", "finally") if key in file]
    # what is within a step that says allow_cross_site may be sent on
    places = tops if mutation.proof == LEAKS else [level for top in tops for level in levels(top)]
    chosen = draw(st.sampled_from([outer, *(() if mutation.outer else places)]))
    chosen.update(mutation.step)
    return files, chosen is outer


PROOFS = {
    RUNS_INTO: ("it fails", "it breaks", "a step never runs"),
    CANNOT_BEGIN: ("it cannot be planned", "it breaks"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_breaks_a_file_is_refused_where_it_stands(folder: Path, name: str) -> None:
    mutation = MUTATIONS[name]

    @settings(max_examples=5)
    @given(broken(mutation))
    def refused(drawn: tuple[Files, bool]) -> None:
        files, reached = drawn
        with pytest.raises(InvalidError) as caught:
            make(load(folder, files), folder)
        assert_in_place(caught.value, files)
        found = [each for each in caught.value.problems if each.rule == mutation.rule]
        inside = [each for each in caught.value.problems if f"[{mutation.rule}]" in each.message]
        assert found or inside, caught.value.problems
        for each in found if not inside else ():
            lines = spelt(files[each.file.rpartition("/")[2]]).splitlines()
            assert mutation.mark in lines[each.position.line - 1], each
        if mutation.proof is None or not reached:
            return
        if mutation.proof == LEAKS:
            assert any(step.startswith("z") for step in leaks(forced(folder, files)))
        else:
            assert what_comes_of(folder, files).startswith(PROOFS[mutation.proof])

    refused()
