"""Random workflows: steps of every kind with every key beside them, and files that run each other.

A file is drawn as plain values and written as JSON, which is YAML too: a value a line, so that places can be told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from driver import ORGANIZATIONS
from hypothesis import strategies as st
from msgspec import Struct, field
from msgspec.structs import replace

from v6flow import loading
from v6flow.core.directory import Directory
from v6flow.core.planning import planner

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan

Files = dict[str, dict[str, Any]]
"""What stands in each file, by its name; MAIN is the one that is run."""

MAIN = "w.yaml"
SHARED = "shared.yaml"
DIRECTORY = Directory(
    ORGANIZATIONS,
    ids={name: number for number, name in enumerate(ORGANIZATIONS, start=1)},
    identity="here",
    defaults={"image": "i"},
    studies={"two": ("alpha", "beta")},
)
WITHIN = ("repeat", "foreach", "workflow")  # kinds with steps in them
KINDS = ("value", "local", "task", "task", "gate", "repeat", "foreach", "workflow")
VALUE = {"task": "results", "single": "result", "foreach": "by_key"}  # where not `.result`
FARE = {  # what else a step of a kind offers, that any value may be made of
    "task": ("by_organization", "responded", "asked", "failed", "missing", "failures"),
    "single": ("responded", "asked", "failed", "missing"),
    "central": ("responded", "subtasks"),
    "repeat": ("history", "iterations", "converged", "responded"),
    "foreach": ("results", "completed", "failed", "skipped", "summary", "items", "responded"),
    "workflow": ("responded",),
}
REASON = "it is a test"


def write(folder: Path, files: Mapping[str, Any]) -> None:
    """Write the files, and a module with the function that local steps name."""
    for old in folder.glob("*.yaml"):
        old.unlink()
    for name, value in files.items():
        (folder / name).write_text(spelt(value), "utf-8")
    (folder / "m.py").write_text("def f(**kwargs):\n    return kwargs\n", "utf-8")


def spelt(value: object) -> str:
    """The text of a file."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def load(folder: Path, files: Mapping[str, Any]) -> Workflow:
    """The workflow as `v6flow validate` reads it. Raises InvalidError."""
    write(folder, files)
    return loading.parse_workflow(spelt(files[MAIN]), str(folder / MAIN))


def make(workflow: Workflow, folder: Path) -> Plan:
    """The plan of a workflow with the defaults of its params. Raises InvalidError."""
    params = {name: param.schema.get("default") for name, param in workflow.params.items()}
    return planner.make(workflow, params, DIRECTORY, folder=str(folder), run="w-1")


class Here(Struct, frozen=True):
    """Where steps are drawn: what they may use, and what may stand there."""

    kinds: tuple[str, ...]
    params: tuple[str, ...]
    known: Mapping[str, str] = field(default_factory=dict)  # the steps before, and what kind they are of
    around: tuple[str, ...] = ()  # what is known of rounds and items
    defaults: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False
    depth: int = 0


@st.composite
def sound(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, most: int = 12) -> Files:
    """Files that are sound, with steps of these kinds: once there are as many as `most`, without steps in them."""
    return Drawing(draw, kinds, most).files()


class Drawing:
    """Draws the files of one workflow."""

    def __init__(self, draw: st.DrawFn, kinds: tuple[str, ...], most: int) -> None:
        self.draw = draw
        self._kinds = kinds
        self._left = most  # steps, so that runs stay short
        self._files: Files = {}
        self._gated: dict[str, bool] = {}
        self._top: dict[str, str] = {}  # the steps of the file drawn last, and their kinds

    def some(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def chance(self, *, one_in: int = 2) -> bool:
        return bool(self.draw(st.integers(1, one_in)) == one_in)  # shrinks to what is left out

    def few(self, choices: Any, most: int) -> list[Any]:
        return list(self.draw(st.lists(st.sampled_from(tuple(choices)), max_size=most, unique=True))) if choices else []

    # -- files

    def files(self) -> Files:
        params = {
            "n": {"type": "integer", "default": self.some(2, 3)},
            "names": {"type": "array", "default": ["alpha", "beta"]},
            "m": {"type": "string", "default": "m"},
        }
        main: dict[str, Any] = {"v6flow": 1, "name": "w", "description": "d", "federation": "f.yaml", "params": params}
        defaults = self._defaults()
        if self.chance(one_in=4):
            shared = {"v6flow": 1, "params": {"n": {"default": 1}, "other": {"default": [1]}}}
            self._files[SHARED] = {**shared, "defaults": {"timeout": "4h", "retry": {"attempts": 2, "delay": "1m"}}}
            main["include"] = [SHARED]
            defaults = {**self._files[SHARED]["defaults"], **defaults}
        if self.chance(one_in=4):
            main["preconditions"] = [{"that": "{{ params.n > 1 }}", "message": "n is {{ params.n }}"}]
        here = Here(self._kinds, ("params.n", "params.names", "run.name", "federation.organizations"))
        self._body(main, replace(here, defaults=defaults), "s", self.draw(st.integers(1, 6)))
        if self.chance():
            final = replace(
                here,
                kinds=tuple(kind for kind in self._kinds if kind != "gate"),
                around=("run.status", "run.error"),
                known=self._top,
                defaults=defaults,
                final=True,
            )
            main["finally"], _ = self._steps(final, "f", self.draw(st.integers(1, 3)))
        return {MAIN: main, **self._files}

    def _defaults(self) -> dict[str, Any]:
        given = {
            "timeout": "3h",
            "retry": 2,
            "quorum": self.some("50%", {"min": 2}),
            "databases": ["default"],
            "disclosure": {"min_count": 2},
            "organizations": ["alpha", "beta"],
            "store": "s",
            "image": "k",
            "isolation": "organization",
        }
        return {key: given[key] for key in self.few(given, 2)}

    def _body(self, file: dict[str, Any], here: Here, stem: str, count: int) -> None:
        if here.defaults:
            file["defaults"] = dict(here.defaults)
        file["steps"], self._top = self._steps(here, stem, count)
        outputs: dict[str, Any] = {}
        for name, kind in self._top.items():
            value = f"steps.{name}.{_value(kind)}"
            covered = f"{{{{ {value} | default('none') }}}}" if not self.chance(one_in=3) else f"{{{{ {value} }}}}"
            mixes = not self.chance(one_in=4)
            outputs[f"o_{name}"] = {"value": covered, "mixed_cohorts": REASON} if mixes else covered
        file["outputs"] = outputs

    def _file(self, here: Here) -> str:
        """The name of a file that a step may run: a new one, or one that is there already."""
        gates = "gate" in here.kinds
        there = [name for name, gated in self._gated.items() if gates or not gated]
        if there and self.chance(one_in=3):
            return str(self.some(*there))
        top, kept = self._top, self._left
        params = {"p": self.some({}, {"type": ["array", "integer"]}), "q": {"default": 2}, "n": {"default": 2}}
        params["names"] = {"default": ["beta", "gamma"]}
        inner: dict[str, Any] = {"v6flow": 1, "params": params}
        inside = Here(here.kinds, ("params.p", "params.q", "run.id"), defaults=self._defaults(), depth=here.depth + 1)
        self._left = min(self._left, 4)
        self._body(inner, inside, "i", self.draw(st.integers(1, 2)))
        self._left = kept - 2
        self._top = top
        name = f"f{len(self._files)}.yaml"
        self._files[name] = inner
        self._gated[name] = gates
        return name

    # -- steps

    def _steps(self, here: Here, stem: str, count: int) -> tuple[dict[str, Any], dict[str, str]]:
        """Steps that stand together, and what kind each is of."""
        steps: dict[str, Any] = {}
        own: dict[str, str] = {}
        for number in range(count):
            name = f"{stem}{number}"
            steps[name], own[name] = self._step(replace(here, known={**here.known, **own}), name)
        return steps, own

    def _step(self, here: Here, name: str) -> tuple[dict[str, Any], str]:
        self._left -= 1
        plain = tuple(kind for kind in here.kinds if kind not in WITHIN) or ("value",)
        kind = self.some(*(here.kinds if here.depth < 3 and self._left > 0 else plain))
        step, shown = getattr(self, f"_{kind}")(here, name)
        for key, (kinds, drawn) in BESIDE.items():
            if kind in kinds and key not in step and self.chance(one_in=4):
                value = drawn(self, here, shown)
                if value is not None:
                    step[key] = value
        return step, shown

    def expression(self, here: Here) -> str:
        """A list of some of what is known."""
        terms = [self.term(here, name) for name in self.few(here.known, 2)]
        terms += self.few((*here.around, *here.params), 1)
        return f"{{{{ [{', '.join(terms)}] }}}}"

    def term(self, here: Here, name: str) -> str:
        kind = here.known[name]
        value = f"steps.{name}.{_value(kind)}"
        other = f"steps.{name}.{self.some(*FARE.get(kind, ('status',)))}"
        return str(
            self.some(
                value,
                value,
                f"default({value}, 0)",
                f"steps.{name}.status",
                f"({value} if steps.{name}.status == 'completed' else 1)",
                other,
                f"({other} if {other} is defined else none)",
                f"(steps.{name}.error.kind if steps.{name}.error is mapping else '')",
            )
        )

    def _value(self, here: Here, _: str) -> tuple[dict[str, Any], str]:
        return {"local": {"value": self.expression(here)}}, "value"

    def _local(self, here: Here, _: str) -> tuple[dict[str, Any], str]:
        work = self.some({"function": "m.py:f"}, {"command": ["cat", "{{ params.n }}"]})
        files = {"files": ["*.py"]} if self.chance(one_in=6) else {}
        return {"local": {**work, **files, "kwargs": {"x": self.expression(here)}}}, "local"

    def _gate(self, here: Here, _: str) -> tuple[dict[str, Any], str]:
        approvers = {"approvers": ["anna"]} if self.chance(one_in=4) else {}
        return {"gate": {"message": self.expression(here), **approvers}}, "gate"

    def _task(self, here: Here, _: str) -> tuple[dict[str, Any], str]:
        task: dict[str, Any] = {"method": self.some("m", "{{ params.n }}m"), "kwargs": {"x": self.expression(here)}}
        step: dict[str, Any] = {"task": task, "allow_cross_site": REASON}
        if self.chance(one_in=3):
            task["kwargs"]["me"] = "{{ organization }}"
        asked = list(here.defaults.get("organizations", ORGANIZATIONS))
        kind = "task"
        answered = [name for name, shown in here.known.items() if shown in ("task", "single")]
        match self.some("all", "all", "list", "responded", "study", "one", "central"):
            case "list":
                task["organizations"] = asked = self.some(["beta", "gamma"], [*ORGANIZATIONS])
            case "responded" if answered:
                task["organizations"] = f"{{{{ steps.{self.some(*answered)}.{self.some('responded', 'asked')} }}}}"
                asked = []
            case "study":
                task["study"] = "two"
                asked = ["alpha", "beta"]
            case "one" | "central" as what:
                task["organization"] = self.some("alpha", "gamma")
                asked, kind = [task["organization"]], "single"
                if what == "central":
                    task["central"], kind = True, "central"
                    task["subtasks"] = self.some("fail", "partial")
            case _:
                pass
        database = {"label": "other", "query": "q", "sheet_name": "s", "preprocessing": [], "arguments": {}}
        named = (("databases", [database]), ("image", "j"), ("name", "named"), ("store", 2), ("description", "why"))
        task.update({key: value for key, value in named if self.chance(one_in=6)})
        if self.chance(one_in=8):
            task["isolation"] = "task"
            step["quorum"], step["retry"] = "all", 1
        elif self.chance() or isinstance(here.defaults.get("quorum"), dict):
            step["quorum"] = self._quorum(here, asked)
        return step, kind

    def _quorum(self, here: Here, asked: list[str]) -> Any:
        few = ["all", 1, "60%", {"min": 1, "wait": "quorum"}, "{{ [1, params.n] | min }}"]
        if asked:
            few += [{"min": 1, "required": asked[:1]}, {"min": len(asked), "wait": "quorum"}]
        tasks = [name for name, kind in here.known.items() if kind == "task"]
        if tasks:
            few.append(f"{{{{ steps.{self.some(*tasks)}.responded | length }}}}")
        return self.some(*few)

    def _repeat(self, here: Here, name: str) -> tuple[dict[str, Any], str]:
        alias = f"r_{name}"
        rounds = (f"loop.{alias}.state", f"loop.{alias}.index", "loop.index")
        inside = replace(here, around=(*here.around, *rounds), depth=here.depth + 1)
        steps, own = self._steps(inside, f"{name}_", self.draw(st.integers(1, 2)))
        within = replace(inside, known=own)
        terms = ["loop.index", *(self.term(within, each) for each in own)]
        repeat = {
            "as": alias,
            "state": self.expression(here),
            "max": self.some(1, 2, 3, "{{ params.n }}"),
            "steps": steps,
            "update": f"{{{{ [{', '.join(terms)}] }}}}",
            "on_max": "continue",
        }
        if not self.chance(one_in=3):
            repeat["cohort"] = self.some("fixed", "shrink", "any")
        if self.chance():
            repeat["until"] = "{{ loop.index >= 2 and loop.next[0] == loop.index }}"
            repeat["on_max"] = self.some("fail", "continue")
        return {"repeat": repeat}, "repeat"

    def _foreach(self, here: Here, name: str) -> tuple[dict[str, Any], str]:
        alias = f"e_{name}"
        items = (f"each.{alias}", "each.key", "each.index")
        inside = replace(here, around=(*here.around, *items), depth=here.depth + 1)
        steps, own = self._steps(inside, f"{name}_", self.draw(st.integers(1, 2)))
        foreach: dict[str, Any] = {"as": alias, "steps": steps}
        if self.chance(one_in=4):
            foreach["matrix"] = self.some({"a": [1, 2], "b": ["x"]}, {"a": "{{ params.names }}"})
        else:
            foreach["over"] = self.some(["a", "b", "c"], {"p": 1, "q": 2}, [], "{{ range(3) }}", self.expression(here))
        if self.chance(one_in=4):
            foreach["key"] = "{{ 'k' ~ each.index }}"
        if not self.chance(one_in=4):
            within = replace(inside, known=own)
            foreach["result"] = f"{{{{ [{', '.join(self.term(within, each) for each in own)}] }}}}"
        if self.chance():
            foreach["on_item_failure"] = self.some("fail", "continue")
            foreach["max_parallel"] = self.some(1, 2, 3, "{{ params.n }}")
        return {"foreach": foreach}, "foreach"

    def _workflow(self, here: Here, _: str) -> tuple[dict[str, Any], str]:
        more = (("q", self.expression(here)), ("n", self.some(3, "{{ params.n }}")))
        params = {"p": self.expression(here), **{name: value for name, value in more if self.chance(one_in=3)}}
        return {"workflow": {"file": self._file(here), "params": params}, "allow_cross_site": REASON}, "workflow"

    # -- beside a step

    def needs(self, here: Here) -> list[str] | None:
        return self.few(here.known, 1) or None

    def when(self, here: Here) -> str | None:
        if not here.known or self.chance(one_in=3):
            return str(self.some("{{ params.n > 1 }}", "{{ params.n > 2 }}"))
        status = self.some("completed", "completed", "failed", "skipped")
        return f"{{{{ steps.{self.some(*here.known)}.status == '{status}' }}}}"

    def checks(self, here: Here, kind: str) -> list[dict[str, str]]:
        judged = ["{{ this.status == 'completed' }}", "{{ params.n < 3 }}"]
        if kind == "task":
            judged += ["{{ this.responded | length > 1 }}"] * 2
        found = [{"that": self.some(*judged), "message": "n is {{ params.n }}"}]
        if kind in ("task", "single", "central") and self.chance():
            found.append({"each": "{{ result.count > 2 }}", "message": "{{ organization }} has few"})
        return found

    def properties(self, here: Here, kind: str) -> dict[str, Any]:
        value = f"{{{{ this.{_value(kind)} }}}}"
        return {"how": "{{ this.status }}", **({"what": value} if self.chance(one_in=3) else {})}


def _value(kind: str) -> str:
    return VALUE.get(kind, "result")


Beside = tuple[tuple[str, ...], Callable[[Drawing, Here, str], Any]]
ANY = ("value", "local", "task", "gate", *WITHIN)
BESIDE: dict[str, Beside] = {
    "description": (ANY, lambda *_: "what it is for"),
    "needs": (ANY, lambda drawing, here, _: drawing.needs(here)),
    "when": (ANY, lambda drawing, here, _: drawing.when(here)),
    "on_failure": (ANY, lambda drawing, *_: drawing.some("fail", "continue", "continue")),
    "mixed_cohorts": (ANY, lambda *_: REASON),
    "checks": (ANY, lambda drawing, here, kind: drawing.checks(here, kind)),
    "properties": (ANY, lambda drawing, here, kind: drawing.properties(here, kind)),
    "allow_cross_site": (("value", *WITHIN), lambda *_: REASON),
    "retry": (
        ("local", "task"),
        lambda drawing, *_: drawing.some(
            1, 2, 3, {"attempts": 2, "delay": "30s", "backoff": 2, "max_delay": "1m", "on": ["crashed", "unknown"]}
        ),
    ),
    "timeout": (("local", "task"), lambda drawing, *_: drawing.some("1h", "45s", "none", "{{ params.n }}h")),
    "memory": (("local",), lambda *_: "1G"),
    "cache": (("local", "task"), lambda drawing, *_: drawing.some("1d", "{{ params.n }}h", "none")),
    "disclosure": (
        ("task",),
        lambda drawing, *_: drawing.some(
            {"min_count": 3}, {"min_count": "{{ params.n }}", "count": "{{ result.count }}"}
        ),
    ),
    "allow_nonfinite": (("task",), lambda *_: True),
    "output_schema": (
        ("local", "task"),
        lambda drawing, *_: drawing.some(
            {}, {"type": ["object", "integer"]}, {"properties": {"count": {"minimum": 3}}}
        ),
    ),
}
"""What may stand beside a step: a key, the kinds that it is for, and what to write; one that gives None is left out."""
