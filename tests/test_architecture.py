"""The layout of the code: imports point one way, there are no cycles, and the core has no input or output."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest

from v6flow import loading
from v6flow.backends import BACKENDS
from v6flow.backends.base import imported
from v6flow.backends.fragments import FRAGMENT
from v6flow.core.kinds import STEP_KINDS

PACKAGE = Path(__file__).parent.parent / "runner" / "v6flow"

# Who may import whom: a layer sees itself and those before it.
LAYERS = (
    ("version",),
    ("errors",),
    ("core", "aggregation"),
    ("actor", "clock", "dotenv", "paths", "plugins"),
    ("references",),
    ("backends", "stores", "local", "reporters"),
    ("reports",),
    ("engine", "loading", "params"),
    ("runs",),
    ("testing",),
    ("api",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# The same inside the core. What stands in the same line knows nothing of its neighbours, but for the language and its
# expressions, whose modules go on each other without circles.
CORE_LAYERS = (
    ("json", "patterns"),
    ("roles",),
    ("language", "expressions"),
    ("policy",),
    ("directory",),
    ("server", "federation"),
    ("kinds",),
    ("reading",),
    ("planning",),
    ("execution",),
    ("kinds.execution",),
    ("checks",),
    ("views",),
)
CORE_LEVEL = {name: level for level, names in enumerate(CORE_LAYERS) for name in names}

# Files that fulfil the same interface in different folders.
FILES_OF_ONE_NAME = {
    "access", "backend", "checkup", "configuration", "execution",
}  # fmt: skip

LARGEST_MODULE = 400  # lines in all, docstrings and blank lines too

# The core takes the world as arguments: these would let it reach out by itself.
FORBIDDEN_IN_CORE = {
    "asyncio", "ctypes", "datetime.now", "http", "io", "logging", "multiprocessing", "os", "pathlib", "psutil", "queue",
    "random", "requests", "rich", "secrets", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess",
    "tempfile",    "threading", "time", "urllib", "uuid",
}  # fmt: skip
CALLS_FORBIDDEN_IN_CORE = {"open", "print", "input", "exec", "eval", "__import__"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] in ("schemas", "examples", "templates"):
            continue
        name = ".".join(("v6flow", *relative.with_suffix("").parts))
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str, *, runtime_only: bool = False) -> set[str]:
    """The modules that a module imports, at its top or inside its functions; those for type checkers only if wanted."""
    return _imports(name, runtime_only)


@functools.cache
def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf-8"))


@functools.cache
def _imports(name: str, runtime_only: bool) -> set[str]:
    found: set[str] = set()
    for node in _walk(parsed(name), skip_typing=runtime_only):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert not node.level, f"{name}: relative imports hide where an arrow points"
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in MODULES else base)
    return found


def _walk(tree: ast.AST, *, skip_typing: bool) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if skip_typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
    return nodes


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("name", MODULES)
def test_no_arrow_points_back(name: str) -> None:
    own = LEVEL[layer(name)]
    for other in imports(name):
        if other.startswith("v6flow.") or other == "v6flow":
            assert LEVEL[layer(other)] <= own, f"{name} imports {other}"


def test_backends_stores_local_and_reporters_do_not_know_each_other() -> None:
    peers = {"backends", "stores", "local", "reporters"}
    for name in MODULES:
        if layer(name) in peers:
            others = {layer(other) for other in imports(name) if other.startswith("v6flow.")}
            assert not (others & peers) - {layer(name)}, f"{name} imports {others & peers}"


# The concrete backends and stores, by the modules outside their own folders that may name them.
CONCRETE: dict[str, set[str]] = {
    "backends.embedded": set(),
    "backends.vantage6": {"cli.keygen"},
    "backends.fixtures": {
        "testing.judging", "testing.people", "testing.recording", "testing.suites", "testing.trial",
    },
    "stores.folder": {"stores.registry"},
    "stores.memory": {"stores.registry", "testing.trial"},
    "local.runner": {"runs.active", "testing.trial"},
}  # fmt: skip


@pytest.mark.parametrize("part", CONCRETE)
def test_concrete_parts_are_picked_in_few_places(part: str) -> None:
    whole = f"v6flow.{part}"
    for name in MODULES:
        if not f"{name}.".startswith(f"{whole}."):
            named = [other for other in imports(name) if f"{other}.".startswith(f"{whole}.")]
            assert not named or name.removeprefix("v6flow.") in CONCRETE[part], f"{name} imports {named}"


def test_nobody_asks_a_value_which_kind_it_is() -> None:
    folders = ("v6flow.core.kinds.", "v6flow.backends.", "v6flow.stores.")
    base = ("v6flow.core.kinds.base", "v6flow.backends.base", "v6flow.stores.base")
    ending = ("Step", "Plan", "Kind", "Backend", "Access", "Journal", "Store", "RunFolder")
    for folder in folders:
        classes = {
            node.name
            for name in MODULES
            if name.startswith(folder) and name not in base
            for node in parsed(name).body
            if isinstance(node, ast.ClassDef) and node.name.endswith(ending)
        }
        for name in MODULES:
            if not name.startswith(folder.rstrip(".")):
                asked = _asked(parsed(name), classes)
                assert not asked, f"{name} asks for {sorted(asked)}"


def _asked(tree: ast.AST, classes: set[str]) -> list[str]:
    """The classes of some that a module asks for by isinstance, or by a pattern, each time that it does."""
    asked: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            asked += [_last_name(each) for each in ast.walk(node.args[1])]
        elif isinstance(node, ast.MatchClass):
            asked.append(_last_name(node.cls))
    return [name for name in asked if name in classes]


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


# What each package is to those outside of it: the modules that they import.
SURFACE: dict[str, set[str]] = {
    "backends": {
        "base", "existence", "fixtures", "fixtures.addresses", "fixtures.canned", "fragments",
        "vantage6.encryption",
    },
    "backends.fixtures": {"addresses", "canned"},
    "backends.vantage6": {"encryption"},
    "cli": {"main"},
    "core.checks": {"declarations", "findings", "lint", "scopes", "signatures", "soundness"},
    "core.execution": {
        "answers", "codec", "cohorts", "commands", "context", "disclosure", "dispatched", "evaluation", "events",
        "failures", "frontier", "judge", "nesting", "pinned", "requests", "reuse", "scheduler", "scope", "standing",
        "state", "steps",
    },
    "core.expressions": {"values"},
    "core.kinds": {"base", "fields", "foreach.execution", "local", "settings", "task"},
    "core.language": {
        "document", "formatting", "messages", "model", "naming", "places", "problem", "quoting", "redaction",
        "reference", "scalars", "schema", "source", "units", "words",
    },
    "core.planning": {"dependencies", "graph", "ids", "plan", "planner", "preconditions", "question"},
    "core.views": {
        "base", "by_kind", "documents", "drawing", "explained", "explanation", "incomplete", "known", "picture",
        "preview", "summary", "timeline",
    },
    "local": {"base", "runner", "sources"},
    "reporters": {"bars", "base", "lines", "live", "prose", "terminal"},
    "runs": {"active", "cancel", "detach", "gates", "opened", "pinning", "reach", "resume", "signals", "starting"},
    "stores": {"base", "memory", "registry", "results", "run_ids"},
    "stores.folder": {"store"},
    "testing": {"judging", "recording", "report", "suites", "trial"},
}  # fmt: skip


def test_the_surface_of_each_package_is_listed() -> None:
    packages = [name for name, path in MODULES.items() if path.stem == "__init__" and name.count(".") in (1, 2)]
    packages.remove("v6flow.core")
    found: dict[str, set[str]] = {}
    for package in packages:
        for name in MODULES:
            if not f"{name}.".startswith(f"{package}."):
                used = {other for other in imports(name) if other.startswith(f"{package}.")}
                found.setdefault(package, set()).update(other.removeprefix(f"{package}.") for other in used)
    for package, used in found.items():
        listed = SURFACE.get(package.removeprefix("v6flow."), set())
        assert used <= listed, f"{package}: others use {sorted(used - listed)}"


def test_there_are_no_import_cycles_when_it_runs() -> None:
    assert _circles(runtime_only=True) == []


def test_there_are_no_import_cycles_for_type_checkers() -> None:
    assert _circles() == []


def _circles(*, runtime_only: bool = False) -> list[list[str]]:
    """The modules that import each other, directly or through others."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in MODULES:
        graph.add_edges_from((name, other) for other in imports(name, runtime_only=runtime_only) if other in MODULES)
    return [sorted(each) for each in nx.strongly_connected_components(graph) if len(each) > 1]


def _core_part(module: str) -> str:
    """The folder of the core that a module is in, or the module itself; a kind's execution is above the scheduler's."""
    first, *rest = module.removeprefix("v6flow.core.").split(".")
    return "kinds.execution" if first == "kinds" and rest[-1:] == ["execution"] else first


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("v6flow.core.")])
def test_no_arrow_points_back_in_the_core(name: str) -> None:
    own = _core_part(name)
    for other in imports(name):
        part = _core_part(other)
        if other.startswith("v6flow.core.") and part != own:
            lower = CORE_LEVEL[part] < CORE_LEVEL[own]
            assert lower or {own, part} <= {"language", "expressions", "roles"}, f"{name}: {other}"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_fits_a_reading(name: str) -> None:
    lines = len(MODULES[name].read_text("utf-8").splitlines())
    assert lines <= LARGEST_MODULE, f"{name} has {lines} lines"


def test_no_two_files_have_one_name() -> None:
    stems = [
        path.stem
        for name, path in MODULES.items()
        if path.stem not in ("__init__", "base") and not name.startswith("v6flow.cli")
    ]
    assert {stem for stem, number in Counter(stems).items() if number > 1} <= FILES_OF_ONE_NAME


def test_no_two_classes_have_one_name() -> None:
    names = [
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert not {name for name, number in Counter(names).items() if number > 1}


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) == "core"])
def test_the_core_has_no_input_or_output(name: str) -> None:
    reached = {other.split(".")[0] for other in imports(name)}
    assert not reached & FORBIDDEN_IN_CORE, f"{name} imports {reached & FORBIDDEN_IN_CORE}"
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in CALLS_FORBIDDEN_IN_CORE, f"{name} calls {node.func.id}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today"), f"{name} looks at a clock"


# What names come to from outside is looked at and read by `paths`, which waits for nothing and knows the bound.
LOOKS = {"read_bytes", "read_text", "is_file", "is_dir", "exists", "expanduser", "isfile", "isdir", "iterdir"}
READERS = ("loading", "references", "params", "runs", "api", "testing", "cli", "local.sources",
           "backends.existence", "backends.fragments", "backends.embedded.checkup", "backends.embedded.configuration",
           "backends.embedded.obstacles", "backends.embedded.contents", "backends.vantage6.connecting",
           "backends.vantage6.keys", "backends.vantage6.transport")  # fmt: skip
LOOKS_ITSELF = {
    ("v6flow.loading", "read_text"),  # our own schemas
    ("v6flow.runs.detach", "read_text"),  # our own log
    ("v6flow.backends.fragments", "read_text"),  # those of backends
    ("v6flow.references", "expanduser"),  # a user that there is not is an error of its own
    ("v6flow.local.sources", "is_file"),  # of what the import system has found
    *(("v6flow.cli.init", each) for each in LOOKS),  # our own templates, and where they come to
}


@pytest.mark.parametrize("name", [name for name in MODULES if name.removeprefix("v6flow.").startswith(READERS)])
def test_files_that_people_name_are_read_by_paths(name: str) -> None:
    used = {
        node.func.attr
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("paths", "loading"))
    }  # fmt: skip
    assert {(name, each) for each in used & LOOKS} <= LOOKS_ITSELF


def test_networkx_is_known_in_one_place_only() -> None:
    users = [name for name in MODULES if any(other.split(".")[0] == "networkx" for other in imports(name))]
    assert users == ["v6flow.core.planning.graph"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_one_sentence_what_it_is_for(name: str) -> None:
    docstring = ast.get_docstring(parsed(name))
    assert docstring, f"{name} does not say what it is for"
    assert docstring.splitlines()[0].endswith((".", "`.")), f"{name}: {docstring.splitlines()[0]!r}"


@pytest.mark.parametrize("key", STEP_KINDS)
def test_a_kind_of_step_has_all_of_its_own_in_its_class(key: str) -> None:
    own = vars(type(STEP_KINDS[key]))
    assert {"key", "summary", "plan_type", "parse", "fields", "plan"} <= own.keys()
    assert "begin" in vars(type(STEP_KINDS[key].execution))


KINDS = tuple(f"v6flow.core.kinds.{key}" for key in STEP_KINDS)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("v6flow.core.execution")])
def test_execution_asks_the_kind_of_a_step_and_knows_none(name: str) -> None:
    assert not {each for each in imports(name, runtime_only=True) if each.startswith(KINDS)}


BACKEND_FOLDERS = {path.parent.name for path in PACKAGE.glob("backends/*/__init__.py")}
NAMES_A_BACKEND = {
    "v6flow.backends",  # BACKENDS: one line each
    "v6flow.cli.keygen",  # makes the keys that vantage6 encrypts with
    "v6flow.reporters.prose",  # a run keeps the name of its backend alone
    *(f"v6flow.testing.{name}" for name in ("judging", "people", "recording", "suites", "trial")),  # use fixtures
}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("v6flow.backends.")])
def test_nobody_names_a_backend_but_the_registry(name: str) -> None:
    tree = parsed(name)
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    texts |= imports(name)
    found = {each for each in BACKEND_FOLDERS for text in texts if text == each or f"backends.{each}" in text}
    assert bool(found) == (name in NAMES_A_BACKEND), f"{name} names {found}"


def test_each_backend_of_the_registry_is_a_folder_with_its_schema() -> None:
    for name, place in BACKENDS.items():
        federation = imported(place)
        assert (federation.backend, place.split(".")[:3]) == (name, ["v6flow", "backends", name])
        assert (PACKAGE / "backends" / name / FRAGMENT).is_file()
    assert {*BACKENDS, "fixtures"} == BACKEND_FOLDERS


def test_the_published_schema_of_federations_has_all_backends() -> None:
    """Where it has not: `v6flow schema federation > schemas/federation.schema.json`."""
    published = (PACKAGE.parents[1] / "schemas" / FRAGMENT).read_text("utf-8")
    assert published == loading.schema_text("federation")
