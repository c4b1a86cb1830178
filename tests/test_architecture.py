"""The layout of the code: imports point one way, there are no cycles, and the core has no input or output."""

from __future__ import annotations

import ast
from pathlib import Path

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
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    found: set[str] = set()
    for node in _walk(tree, skip_typing=runtime_only):
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


def test_only_the_outer_layers_pick_concrete_parts() -> None:
    concrete = (
        "v6flow.backends.embedded",
        "v6flow.backends.fixtures",
        "v6flow.stores.folder.sqlite",
        "v6flow.stores.memory",
        "v6flow.local.runner",
    )
    for name in ("v6flow.engine", *(name for name in MODULES if layer(name) == "core")):
        for other in imports(name):
            assert not other.startswith(concrete), f"{name} imports {other}"


def test_one_line_picks_a_store() -> None:
    users = {name: {other for other in imports(name) if "v6flow.stores.folder" in other} for name in MODULES}
    outside = {name: used for name, used in users.items() if used and not name.startswith("v6flow.stores.folder")}
    assert outside == {"v6flow.stores.registry": {"v6flow.stores.folder.store"}}


def test_there_are_no_import_cycles() -> None:
    edges = {name: {other for other in imports(name, runtime_only=True) if other in MODULES} for name in MODULES}
    done: set[str] = set()
    for start in MODULES:
        _search(start, edges, [], done)


def _search(name: str, edges: dict[str, set[str]], path: list[str], done: set[str]) -> None:
    assert name not in path, f"imports in a circle: {' → '.join([*path[path.index(name) :], name])}"
    if name in done:
        return
    for other in sorted(edges[name]):
        _search(other, edges, [*path, name], done)
    done.add(name)


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) == "core"])
def test_the_core_has_no_input_or_output(name: str) -> None:
    reached = {other.split(".")[0] for other in imports(name)}
    assert not reached & FORBIDDEN_IN_CORE, f"{name} imports {reached & FORBIDDEN_IN_CORE}"
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
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
        for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("paths", "loading"))
    }  # fmt: skip
    assert {(name, each) for each in used & LOOKS} <= LOOKS_ITSELF


def test_networkx_is_known_in_one_place_only() -> None:
    users = [name for name in MODULES if any(other.split(".")[0] == "networkx" for other in imports(name))]
    assert users == ["v6flow.core.planning.graph"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_one_sentence_what_it_is_for(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text("utf-8")))
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
    "v6flow.reporters.summary",  # a run keeps the name of its backend alone
    *(f"v6flow.testing.{name}" for name in ("files", "judging", "people", "recording", "trial")),  # use fixtures
}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("v6flow.backends.")])
def test_nobody_names_a_backend_but_the_registry(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text("utf-8"))
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
