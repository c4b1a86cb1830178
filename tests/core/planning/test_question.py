"""The one question: each field of a plan has roles, and each view has all that its role says and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from driver import make
from msgspec import Struct
from msgspec.structs import replace

from v6flow.core import expressions, roles
from v6flow.core.execution import requests, reuse
from v6flow.core.execution.reuse import Basis
from v6flow.core.kinds import STEP_KINDS, LocalPlan, TaskPlan
from v6flow.core.kinds.settings import DatabaseChoice, Disclosure, Quorum, Retry
from v6flow.core.language.model import Check, Common
from v6flow.core.planning import question
from v6flow.core.planning.question import Origin
from v6flow.core.roles import Role, Roles, fixed, free, roles_of
from v6flow.core.views.preview import preview

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.planning.plan import Plan

PLANS = {
    "task": "s: {task: {method: m, organizations: [alpha, beta], kwargs: {a: 1}}}",
    "local": 's: {local: {function: "f.py:f", kwargs: {a: 1}}}',
    "command": "s: {local: {command: [a, b]}}",
    "value": "s: {local: {value: 1}}",
    "repeat": """
  s:
    repeat:
      state: 1
      max: 3
      steps: {x: {local: {value: 2}}}
      update: "{{ steps.x.result }}"
      until: "{{ loop.next == loop.state }}\"""",
    "foreach": """
  s:
    foreach:
      over: [1, 2]
      steps: {x: {local: {value: 2}}}
      result: "{{ steps.x.result }}\"""",
    "matrix": """
  s:
    foreach:
      matrix: {a: [1, 2]}
      steps: {x: {local: {value: 2}}}""",
    "workflow": "s: {workflow: {file: other.yaml}}",
    "gate": "s: {gate: {message: go on}}",
}
OTHER = 'params: {n: {default: 1}}\nsteps: {x: {local: {value: 1}}}\noutputs: {y: "{{ steps.x.result }}"}\n'
OTHERWISE: dict[str, Any] = {
    "organizations": ("alpha",),
    "members": ("alpha", "beta"),
    "databases": (DatabaseChoice("other"),),
    "quorum": Quorum(1),
    "disclosure": Disclosure(5),
    "retry": Retry(3),
    "files": ("a.txt",),
    "approvers": ("anna",),
    "needs": ("x",),
    "at": ("steps", "t"),
    "output_schema": {"type": "integer"},
    "command": expressions.compile(["z"]),
    "max": 7,
    "max_parallel": 7,
    "timeout": 7.0,
    "cache": 7.0,
    "memory": 7,
    "message": expressions.compile("another"),
    "checks": (Check((), expressions.compile("{{ true }}"), expressions.compile("no")),),
}
"""Another value for each field that is neither a text, a truth value nor a template."""


VIEWS: dict[str, dict[str, str]] = {
    "TaskPlan": {
        "sent": "image method kwargs databases central study store",
        "reuse": "image method kwargs organizations databases central subtasks study store isolation allow_nonfinite",
        "asked": "image method kwargs organizations databases central subtasks study store isolation allow_nonfinite "
        "quorum disclosure",
        "shown": "image method kwargs organizations databases central study store isolation quorum disclosure retry "
        "timeout label cache",
    },
    "LocalPlan": {
        "reuse": "function command kwargs",
        "asked": "function command value kwargs",
        "shown": "function command value kwargs timeout retry memory cache",
    },
    "RepeatPlan": {"asked": "state update until cohort alias", "shown": "state update until cohort max on_max"},
    "ForeachPlan": {
        "asked": "alias over matrix key result",
        "shown": "alias over matrix result max_parallel on_item_failure",
    },
    "WorkflowPlan": {"asked": "params inner", "shown": "params file"},
    "GatePlan": {"asked": "message approvers", "shown": "message approvers"},
    "Common": {
        "asked": "output_schema",
        "settled": "when checks properties",
        "shown": "name on_failure mixed_cohorts allow_cross_site when checks output_schema properties final",
    },
}
"""The fields that each view has, of each class: written down once more, so that none is lost by a slip."""


def wanted(of: type, name: str) -> set[str]:
    """The views that a field is in."""
    return {view for view, names in VIEWS[of.__name__].items() if name in names.split()}


def planned(kind: str) -> Plan:
    """A plan with one step of a kind, `s`."""
    return make(f"steps:\n  {PLANS[kind].strip()}\n", files={"other.yaml": OTHER})


def otherwise(name: str, value: Any) -> Any:
    """Another value of a field."""
    if name in OTHERWISE:
        return OTHERWISE[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, expressions.Template) or name in ("when", "properties", "until", "update"):
        return expressions.compile({"other": 1})
    if name == "inner":
        outputs = {**value.outputs, "z": value.outputs["y"]}
        return replace(value, outputs=outputs)
    return "other"


def with_step(plan: Plan, step: Any) -> Plan:
    return replace(plan, steps={**plan.steps, "s": step})


def changes() -> Iterator[Any]:
    """Each field of the plan of each kind, those that all kinds have included."""
    for kind, text in PLANS.items():
        of = STEP_KINDS[planned(kind).steps["s"].kind].plan_type
        wanted = {"command": ("command",), "value": ("value",), "matrix": ("matrix",)}.get(kind)
        for name in of.__struct_fields__:
            if name == "common" or (wanted and name not in wanted):
                continue
            if not wanted and f"{name}:" not in text and name in ("command", "value", "matrix"):
                continue  # they are had by another plan of the kind
            yield pytest.param(kind, of, name, id=f"{kind}-{name}")
    for name in Common.__struct_fields__:
        yield pytest.param("task", Common, name, id=f"common-{name}")


def changed(kind: str, of: type, name: str) -> tuple[Plan, Plan]:
    """A plan, and the same with one field of its step otherwise."""
    plan = planned(kind)
    step: Any = plan.steps["s"]
    if of is Common:
        return plan, with_step(plan, replace(step, common=replace(step.common, **{name: otherwise(name, None)})))
    return plan, with_step(plan, replace(step, **{name: otherwise(name, getattr(step, name))}))


def key(plan: Plan) -> Mapping[str, str]:
    """The reuse key of the step, given what it has by then."""
    step = plan.steps["s"]
    if isinstance(step, TaskPlan):
        assert isinstance(step.organizations, tuple)
        kwargs = dict.fromkeys(step.organizations, step.kwargs.source)
        return reuse.of_task(plan, step, step.organizations, kwargs, Basis()).parts
    if isinstance(step, LocalPlan):
        command: Any = step.command.source if step.command is not None else None
        kwargs = step.kwargs.source if isinstance(step.kwargs.source, dict) else {}
        return reuse.of_local(step, command, kwargs, Basis()).parts
    return question.of(step).key()


def sent(plan: Plan) -> str | None:
    """The digest of the request of a step that sends one."""
    step = plan.steps["s"]
    if not isinstance(step, TaskPlan):
        return None
    return requests.sent(requests.request(plan, step, "s", {"alpha": step.kwargs.source}, ("alpha",), 1))


def views(plan: Plan) -> dict[str, Any]:
    """All the views of what a step asks or computes."""
    found = question.fingerprints(plan, {})["s"]
    shown = next(preview(plan)).as_json()
    return {"sent": sent(plan), "reuse": key(plan), "asked": found.asked, "settled": found.settled, "shown": shown}


def differing(before: Plan, after: Plan) -> set[str]:
    """The views in which two plans differ."""
    one, other = views(before), views(after)
    return {view for view in one if one[view] != other[view]}


@pytest.mark.parametrize("of", [*(kind.plan_type for kind in STEP_KINDS.values()), Common, Origin])
def test_each_field_of_each_plan_has_a_role(of: type[Struct]) -> None:
    assert {name for name, _ in roles_of(of)} == set(of.__struct_fields__) - {"common"}


@pytest.mark.parametrize(("kind", "of", "name"), [*changes()])
def test_a_field_is_in_its_views_and_in_no_other(kind: str, of: type, name: str) -> None:
    assert differing(*changed(kind, of, name)) == wanted(of, name)


@pytest.mark.parametrize(("kind", "of", "name"), [each for each in changes() if wanted(*each.values[1:]) - {"shown"}])
def test_a_field_that_loses_its_role_is_noticed(
    kind: str, of: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The views are made of the roles alone: without them the test before this one fails, for each field."""
    plans = changed(kind, of, name)
    without = tuple((each, Role(why="taken away") if each == name else role) for each, role in roles_of(of))
    monkeypatch.setitem(roles._KNOWN, of, without)
    if "sent" in wanted(of, name):
        assert name not in question.of(plans[0].steps["s"]).sent()
    one, other = (question.of(plan.steps["s"]) for plan in plans)
    assert (one.fingerprint(), one.key()) == (other.fingerprint(), other.key())


@pytest.mark.parametrize(("kind", "of", "name"), [*changes()])
def test_a_preview_shows_what_is_declared_to_be_shown(kind: str, of: type, name: str) -> None:
    assert any(role.shown for each, role in roles_of(of) if each == name) == ("shown" in wanted(of, name))


@pytest.mark.parametrize(("name", "parts"), [("source", "source"), ("federation", "federation"), ("data", "data")])
def test_what_no_plan_can_see_is_in_the_question(name: str, parts: str) -> None:
    step = planned("local" if name == "source" else "task").steps["s"]
    one, other = (question.of(step, replace(Origin(), **{name: value})) for value in ("a", "b"))
    assert [part for part in one.key() if one.key()[part] != other.key()[part]] == [parts]
    assert (one.fingerprint() != other.fingerprint()) == (name != "data")


def test_a_kind_depends_on_what_it_declares_only() -> None:
    gate, task = planned("gate").steps["s"], planned("task").steps["s"]
    assert question.of(gate, Origin("a", "b", "c")) == question.of(gate)
    assert question.of(task, Origin(source="a")) == question.of(task)


def test_a_field_without_a_role_is_refused() -> None:
    class Some(Struct, frozen=True):
        ROLES: ClassVar[Roles] = {"known": fixed(), "free": free("for people")}
        common: Common
        known: str
        free: str
        forgotten: str = ""

    with pytest.raises(TypeError, match=r"Some\.forgotten has no role"):
        roles_of(Some)


def test_requests_and_keys_are_those_of_runs_made_before() -> None:
    """Digests in journals and in `cache/`: with others, answers would be asked for again."""
    plan = make("""
params: {column: {type: string, default: age}}
steps:
  s:
    task:
      method: m
      image: "r.example/i:1"
      kwargs: {column: "{{ params.column }}"}
      databases: [{label: d, query: "select 1", preprocessing: [{function: f}], arguments: {a: 1}}]
      store: hub
      organizations: [alpha]
      central: true
    cache: 7d
  l: {local: {function: "f.py:f", kwargs: {a: 1}}, cache: 1h}
  c: {local: {command: [a, b]}, cache: 1h}
""")
    task, function, command = (plan.steps[name] for name in ("s", "l", "c"))
    assert isinstance(task, TaskPlan)
    assert isinstance(function, LocalPlan)
    assert isinstance(command, LocalPlan)
    request = requests.request(plan, task, "s", {"alpha": {"column": "age"}}, ("alpha",), 1)
    assert (requests.sent(request), request.token) == (
        "e93b9b394308cbfef596ce504ca183f8",
        "814aa98d22136e5aa05d2733246a528a",
    )
    key = reuse.of_task(plan, task, ("alpha",), {"alpha": {"column": "age"}}, Basis(data="d"))
    assert key.parts == {
        "image": "r.example/i:1",
        "method": "m",
        "kwargs": "d6fc5d4bddb645e67dfc0a4fb1420fae",
        "organizations": "ff7c2c6cd26ad9f3857078d65ba5b0cd",
        "databases": "24bbb98b4d6389fca934125927df1a14",
        "settings": "ce05faae01c12b654e61b6e63320b940",
        "federation": "7b430cfd6884dfd2e6101786b45aa76f",
        "data": "d",
    }
    assert key.digest == "8f52bbc302d1a40c890b0794060838c3"
    digests = [
        reuse.of_local(function, None, {"a": 1}, Basis({"l": "src"})).digest,
        reuse.of_local(command, ("a", "b"), {}, Basis()).digest,
    ]
    assert digests == ["df19a4af1403013d932967f3a144036c", "a875989e78713977d7a3ca2948ec5363"]
