"""What becomes of one task run: its environment, its data, its answer, its failure."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from embedded_stage import ALGORITHMS, IMAGE, Reports, ask, federation, fifo, gate_opens, opened, organization

from v6flow.backends.base import Accepted, Answered, Failed, Working
from v6flow.backends.embedded.backend import EmbeddedBackend
from v6flow.backends.embedded.configuration import Algorithm, Database
from v6flow.core.execution.commands import TaskRequest
from v6flow.core.kinds.settings import DatabaseChoice

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")

TOKENS = (f"token{number}" for number in count())


class Bench:
    """An open backend that is asked one thing after the other."""

    def __init__(self, backend: EmbeddedBackend, reports: Reports) -> None:
        self.backend = backend
        self.reports = reports

    def end(self, request: TaskRequest, name: str = "alpha") -> Answered | Failed:
        self.backend.submit(request, again=False)
        return self.reports.end(request.token, name)

    def value(self, method: str, **kwargs: Any) -> Any:
        end = self.end(ask(method, token=next(TOKENS), **kwargs))
        assert isinstance(end, Answered), end
        return json.loads(end.body)

    def failure(self, method: str, **kwargs: Any) -> Failed:
        end = self.end(ask(method, token=next(TOKENS), **kwargs))
        assert isinstance(end, Failed), end
        return end


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    folder.joinpath("alpha.parquet").touch()
    where = federation(
        folder,
        organization(folder, "alpha", 1, environment={"MINIMUM_ROWS": "5", "METHOD": "GAUSSIAN", "EMPTY": ""}),
        organization(folder, "beta", 2),
    )
    with opened(where, folder / "run") as (backend, reports):
        yield Bench(backend, reports)


def test_a_partial_function_gets_the_data_of_its_organization(bench: Bench) -> None:
    request = ask("partial_sum", "alpha", "beta", token=next(TOKENS), column="age")
    assert json.loads(bench.end(request).body) == {"sum": 6.0, "count": 3}  # type: ignore[union-attr]  # or it fails
    answer = bench.reports.answer(request.token, "beta")
    assert json.loads(answer.body) == {"sum": 9.0, "count": 2}
    assert "info > summing age" in answer.log
    mine = [each for each in bench.reports.all if getattr(each, "token", None) == request.token]
    assert isinstance(mine[0], Accepted)
    assert {each.organization for each in mine if isinstance(each, Working)} == {"alpha", "beta"}


def test_each_organization_gets_its_own_arguments(bench: Bench) -> None:
    token = next(TOKENS)
    request = TaskRequest(token, "s", 1, IMAGE, "echo", {"alpha": {"value": "ä"}, "beta": {"value": [1, None]}})
    bench.backend.submit(request, again=False)
    assert json.loads(bench.reports.answer(token, "alpha").body) == "ä"
    assert json.loads(bench.reports.answer(token, "beta").body) == [1, None]


def test_the_environment_is_the_one_that_a_node_gives(bench: Bench) -> None:
    seen = bench.value("surroundings")
    environment = seen["environment"]
    assert {name for name in environment if not name.endswith("_FILE")} == {
        "PATH", "HOME", "TMPDIR", "LANG", "PKG_NAME", "TEMPORARY_FOLDER", "HOST", "PORT", "API_PATH",
        "DB_LABELS",
        "USER_REQUESTED_DATABASE_LABELS", "DEFAULT_DATABASE_URI", "DEFAULT_DATABASE_TYPE", "MINIMUM_ROWS",
        "METHOD", "EMPTY",
    }  # fmt: skip
    assert environment["METHOD"] == "GAUSSIAN"  # a plain value would have been mangled
    assert environment["EMPTY"] == ""
    assert environment["HOST"] == "http://127.0.0.1"
    assert environment["PKG_NAME"] == "v6_probe"
    assert seen["threshold"] == "5"  # though it is read while the package is imported
    assert seen["temporary"] == environment["TEMPORARY_FOLDER"] == environment["HOME"]


def test_every_task_run_has_a_process_of_its_own(bench: Bench) -> None:
    first, second = bench.value("surroundings"), bench.value("surroundings")
    assert first["calls"] == second["calls"] == 1
    assert first["cwd"] != second["cwd"]
    for seen in (first, second):
        assert seen["descriptors"] == [0, 1, 2]
        assert seen["session"]
        assert seen["threads"] == 1
        assert seen["modules"] == []
        assert seen["stdin"] == ""
        assert not any("embedded" in entry for entry in seen["path"])


def test_random_numbers_differ_between_task_runs(bench: Bench) -> None:
    drawn = [bench.value("draw") for _ in range(3)]
    assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == 3


def test_who_it_is_stands_in_its_token(bench: Bench) -> None:
    task = bench.value("who")
    assert task == {"task": task["task"], "node": 1, "collaboration": 1, "organization": 1}


@pytest.mark.parametrize(
    ("method", "kwargs", "kind", "message"),
    [
        ("crash", {}, "crashed", "ZeroDivisionError: division by zero"),
        ("leave", {"code": 3}, "crashed", "it ended with exit code 3 after saying: last words"),
        ("leave", {"code": "sorry"}, "crashed", "it ended with exit code 1 after saying: sorry"),
        ("leave", {"code": 0}, "garbage", "it ended without writing a result"),
        ("leave_at_once", {}, "garbage", "it ended without writing a result"),
        ("segfault", {}, "crashed", "killed by signal SIGSEGV"),
        (
            "not_json",
            {},
            "crashed",
            "its result cannot be written as JSON: TypeError: Object of type set is not JSON serializable",
        ),
        ("echoo", {}, "crashed", "the package 'v6_probe' has no function 'echoo'"),
        ("echo", {"valeu": 1}, "crashed", "TypeError: echo() got an unexpected keyword argument 'valeu'"),
        (
            "partial_two",
            {},
            "crashed",
            (
                "it ended with exit code 1 after saying: "
                "Algorithm requires 2 databases but only 1 were provided. Exiting..."
            ),
        ),
    ],
)
def test_a_failure_says_what_happened(
    bench: Bench, method: str, kwargs: dict[str, Any], kind: str, message: str
) -> None:
    failed = bench.failure(method, **kwargs)
    assert (failed.kind, failed.message) == (kind, message)


def test_what_was_said_before_a_crash_is_in_the_log(bench: Bench) -> None:
    assert "about to divide" in bench.failure("crash").log
    assert "before the fault" in bench.failure("segfault").log


def test_an_unknown_function_names_the_nearest_and_all(bench: Bench) -> None:
    hint = bench.failure("echoo").hint or ""
    assert "did you mean echo?" in hint
    assert "partial_sum" in hint
    assert "algorithm_client" not in hint  # imported, not offered


def test_what_is_not_json_is_handed_on_as_it_is(bench: Bench) -> None:
    end = bench.end(ask("own_output", token=next(TOKENS)))
    assert isinstance(end, Answered)
    assert end.body == b"<html>"
    end = bench.end(ask("not_a_number", token=next(TOKENS)))
    assert isinstance(end, Answered)
    assert end.body == b"[NaN, Infinity]"


def test_a_flood_of_prints_keeps_its_beginning_and_its_end(bench: Bench) -> None:
    end = bench.end(ask("flood", token=next(TOKENS), lines=40_000))
    assert isinstance(end, Answered)
    assert len(end.log) < 1_200_000
    assert "first line" in end.log
    assert "last line" in end.log
    assert "bytes of the log left out" in end.log


def test_a_log_that_is_no_text_is_read_all_the_same(bench: Bench) -> None:
    end = bench.end(ask("garbled", token=next(TOKENS)))
    assert isinstance(end, Answered)
    assert "caf�" in end.log


def test_the_folder_it_worked_in_is_gone_afterwards(bench: Bench) -> None:
    assert not Path(bench.value("surroundings")["cwd"]).exists()


def test_without_a_database_the_failure_says_so(bench: Bench) -> None:
    token = next(TOKENS)
    failed = bench.end(TaskRequest(token, "s", 1, IMAGE, "partial_sum", {"alpha": {"column": "age"}}))
    assert isinstance(failed, Failed)
    assert "databases" in (failed.hint or "")


def test_an_unknown_image_names_those_that_there_are(bench: Bench) -> None:
    failed = bench.end(TaskRequest(next(TOKENS), "s", 1, "registry.example/prob", "echo", {"alpha": {}}))
    assert isinstance(failed, Failed)
    assert failed.kind == "no_image"
    assert IMAGE in failed.message
    assert f"did you mean {IMAGE}?" in (failed.hint or "")


def test_an_unknown_database_names_those_that_there_are(bench: Bench) -> None:
    request = TaskRequest(
        next(TOKENS), "s", 1, IMAGE, "partial_sum", {"alpha": {"column": "age"}}, (DatabaseChoice("defualt"),)
    )
    failed = bench.end(request)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message) == (
        "no_database",
        "alpha has no database 'defualt'; it has: default",
    )
    assert failed.hint == "did you mean default?"


def test_every_type_of_database_is_loaded_as_the_wrapper_loads_it(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"age": [1, 2, 3]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", sheet_name="second", index=False)
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    frame.to_sql("people", connection, index=False)
    connection.close()
    databases = (
        Database("columns", str(tmp_path / "a.parquet"), "parquet"),
        Database("sheet", str(tmp_path / "a.xlsx"), "excel"),
        Database("table", str(tmp_path / "a.sqlite"), "sql"),
        Database("uri", f"sqlite:///{tmp_path}/a.sqlite", "sql"),
    )
    choices = {
        "columns": DatabaseChoice("columns"),
        "sheet": DatabaseChoice("sheet", sheet_name="second"),
        "table": DatabaseChoice("table", query="SELECT age FROM people WHERE age > 1"),
        "uri": DatabaseChoice("uri", query="SELECT age FROM people"),
        "prepared": DatabaseChoice(
            "columns",
            preprocessing=({"function": "filter_range", "parameters": {"column": "age", "min_": 2}},),
        ),
    }
    where = federation(tmp_path, organization(tmp_path, "alpha", 1, databases=databases))
    sums = {}
    with opened(where, tmp_path / "run") as (backend, reports):
        for token, choice in choices.items():
            request = TaskRequest(token, "s", 1, IMAGE, "partial_sum", {"alpha": {"column": "age"}}, (choice,))
            backend.submit(request, again=False)
            sums[token] = json.loads(reports.answer(token, "alpha").body)["sum"]
    assert sums == {"columns": 6.0, "sheet": 6.0, "table": 5.0, "uri": 6.0, "prepared": 3.0}


@pytest.mark.parametrize("uri", ["{}/none.csv", "sqlite:///{}/none.sqlite"])
def test_a_missing_file_is_told_before_anything_starts(tmp_path: Path, uri: str) -> None:
    database = Database("default", uri.format(tmp_path), "sql" if "sqlite" in uri else "csv")
    where = federation(tmp_path, organization(tmp_path, "alpha", 1, databases=(database,)))
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("partial_sum", column="age"), again=False)
        failed = reports.failure("t1", "alpha")
    assert failed.kind == "no_database"
    assert "does not exist" in failed.message
    assert not (tmp_path / "none.sqlite").exists()


def test_a_package_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    (tmp_path / "needs_more").mkdir()
    (tmp_path / "needs_more" / "__init__.py").write_text("import surely_not_installed\n", encoding="utf-8")
    algorithms = {
        "none": Algorithm("none", package="v6_none", path=ALGORITHMS),
        "more": Algorithm("more", package="needs_more", path=str(tmp_path)),
        "path": Algorithm("path", package="v6_probe", path=str(tmp_path / "nowhere")),
        "python": Algorithm("python", package="v6_probe", python=str(tmp_path / "bin" / "python")),
    }
    where = federation(tmp_path, organization(tmp_path, "alpha", 1), algorithms=algorithms)
    failures = {}
    with opened(where, tmp_path / "run") as (backend, reports):
        for image in algorithms:
            backend.submit(TaskRequest(image, "s", 1, image, "echo", {"alpha": {}}), again=False)
            failures[image] = reports.failure(image, "alpha")
    assert {failed.kind for failed in failures.values()} == {"no_image"}
    assert failures["none"].message == "the package 'v6_none' cannot be imported: there is no such module"
    assert "it needs 'surely_not_installed'" in failures["more"].message
    assert str(tmp_path / "nowhere") in failures["path"].message
    assert str(tmp_path / "bin" / "python") in failures["python"].message
    assert all(failed.hint for failed in failures.values())


def environment_with(folder: Path, *, tools: bool) -> str:
    """The interpreter of a new virtual environment, with or without what this one has installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    if tools:
        import pandas as pd

        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = str(Path(pd.__file__).parents[1])
        (folder / "lib" / version / "site-packages" / "more.pth").write_text(site, encoding="utf-8")
    return str(folder / "bin" / "python")


@pytest.mark.parametrize("warm", [True, False])
def test_an_interpreter_without_the_tools_says_what_to_install(tmp_path: Path, warm: bool) -> None:
    python = environment_with(tmp_path / "venv", tools=False)
    algorithms = {IMAGE: Algorithm(IMAGE, package="v6_probe", path=ALGORITHMS, python=python)}
    where = federation(tmp_path, organization(tmp_path, "alpha", 1), algorithms=algorithms)
    with opened(where, tmp_path / "run", warm=warm) as (backend, reports):
        backend.submit(ask("echo", value=1), again=False)
        failed = reports.failure("t1", "alpha")
    assert failed.kind == "start_failed"
    assert 'pip install "v6flow[embedded]"' in (failed.hint or "")


def test_another_interpreter_runs_its_own_images(tmp_path: Path) -> None:
    python = environment_with(tmp_path / "venv", tools=True)
    algorithms = {
        IMAGE: Algorithm(IMAGE, package="v6_probe", path=ALGORITHMS),
        "other": Algorithm("other", package="v6_probe", path=ALGORITHMS, python=python),
    }
    where = federation(tmp_path, organization(tmp_path, "alpha", 1), algorithms=algorithms)
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("surroundings"), again=False)
        backend.submit(TaskRequest("t2", "s", 1, "other", "surroundings", {"alpha": {}}), again=False)
        assert json.loads(reports.answer("t1", "alpha").body)["executable"] == sys.executable
        assert json.loads(reports.answer("t2", "alpha").body)["executable"] == python


def test_a_variable_that_a_node_would_refuse_is_refused(tmp_path: Path) -> None:
    where = federation(tmp_path, organization(tmp_path, "alpha", 1, environment={"PKG_NAME": "other"}))
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("echo", value=1), again=False)
        failed = reports.failure("t1", "alpha")
    assert failed.kind == "start_failed"
    assert "PKG_NAME" in failed.message


def test_cold_processes_do_the_same(tmp_path: Path) -> None:
    with opened(federation(tmp_path), tmp_path / "run", warm=False) as (backend, reports):
        backend.submit(ask("central_mean", column="age", token="mean"), again=False)
        backend.submit(ask("segfault", token="fault"), again=False)
        backend.submit(ask("surroundings", token="seen"), again=False)
        gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
        backend.submit(ask("meet", token="killed", gate=str(gate), here=str(here)), again=False)
        assert json.loads(reports.answer("mean", "alpha").body) == {"mean": 4.0, "answers": 3}
        assert reports.failure("fault", "alpha").message == "killed by signal SIGSEGV"
        assert json.loads(reports.answer("seen", "alpha").body)["calls"] == 1
        pid = int(here.read_text(encoding="utf-8"))
        backend.kill("killed", ("alpha",))
        backend.close()
        psutil = pytest.importorskip("psutil")
        assert not psutil.pid_exists(pid)


def test_importing_the_backend_costs_nothing() -> None:
    code = (
        "import sys, v6flow.backends.embedded.backend\n"
        "print([name for name in ('pandas', 'numpy', 'http.server', 'vantage6') if name in sys.modules])"
    )
    runner = str(Path(__file__).parents[3] / "runner")
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": runner}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_directory_is_cheap_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    where = federation(
        tmp_path,
        organization(tmp_path, "beta", 1),
        organization(tmp_path, "alpha", 2, offline=True),
    )
    backend = EmbeddedBackend(where, tmp_path / "run")
    directory = backend.directory()
    assert directory.organizations == ("beta", "alpha")
    assert directory.ids == {"beta": 1, "alpha": 2}
    assert directory.offline == ("alpha",)
    assert directory.images == (IMAGE,)
    assert not (tmp_path / "run").exists()
    backend.close()


def test_the_next_task_run_starts_when_a_place_is_free(tmp_path: Path) -> None:
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    with opened(federation(tmp_path), tmp_path / "run", jobs=1) as (backend, reports):
        backend.submit(ask("meet", "alpha", token="first", gate=str(gate), here=str(here)), again=False)
        here.read_text(encoding="utf-8")
        backend.submit(ask("echo", "beta", token="second", value=2), again=False)
        assert not [each for each in reports.all if isinstance(each, Working) and each.token == "second"]
        gate_opens(gate)
        assert reports.answer("first", "alpha").body == b'"met"'
        assert reports.answer("second", "beta").body == b"2"
    order = [each.token for each in reports.all if isinstance(each, (Answered, Working))]
    assert order == ["first", "first", "second", "second"]
