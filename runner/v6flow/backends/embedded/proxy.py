"""The HTTP server that algorithms talk to, in place of a node's proxy and the vantage6 server behind it."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from v6flow.backends.embedded import responses, shapes
from v6flow.backends.embedded.environment import COLLABORATION_ID
from v6flow.backends.embedded.server import ForbiddenError
from v6flow.backends.embedded.submission import parse
from v6flow.backends.embedded.task_records import status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.embedded.configuration import EmbeddedFederation
    from v6flow.backends.embedded.nodes import Nodes
    from v6flow.backends.embedded.server import Server
    from v6flow.backends.embedded.submission import Submission
    from v6flow.backends.embedded.task_records import EmbeddedTask, TaskRun

VERSION = "4.15.2"  # whose behaviour this is
LARGEST_BODY = 1 << 30
OPEN = ("/version", "/health")  # asked without a token


class Proxy:
    """Listens on 127.0.0.1, at a port that the system chooses, until it is closed."""

    def __init__(self, federation: EmbeddedFederation, server: Server, nodes: Nodes, *, hold: float) -> None:
        resources = Resources(federation, server, nodes, hold=hold)
        self._http = _Server(("127.0.0.1", 0), type("BoundHandler", (_Handler,), {"resources": resources}))
        self.port: int = self._http.server_address[1]
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="v6flow-proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()  # wakes it up
        self._thread.join(5)
        self._http.server_close()

    def _serve(self) -> None:
        while not self._closed:
            self._http.handle_request()


class Resources:
    """What the server answers; every algorithm sees only its own job."""

    def __init__(self, federation: EmbeddedFederation, server: Server, nodes: Nodes, *, hold: float) -> None:
        self.federation = federation
        self.server = server
        self.nodes = nodes
        self.hold = hold

    def caller(self, authorization: str | None) -> TaskRun:
        """Whose token was shown. Raises ForbiddenError."""
        scheme, _, token = (authorization or "").partition(" ")
        run = self.server.caller(token.strip()) if scheme.lower() == "bearer" else None
        if run is None:
            raise ForbiddenError(401, "Missing Authorization Header" if not authorization else "Token is not valid")
        return run

    def organizations(self, caller: TaskRun, query: dict[str, str]) -> Any:  # noqa: ARG002
        if "study_id" in query:
            raise ForbiddenError(404, f"Study id={query['study_id']} not found")
        if query.get("collaboration_id", str(COLLABORATION_ID)) != str(COLLABORATION_ID):
            raise ForbiddenError(401, "You lack the permission to get all organizations in your collaboration!")
        found = [each for each in self.federation.organizations if query.get("name", each.name) == each.name]
        return shapes.page(found, "/organization", query, shapes.organization)

    def organization(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        for each in self.federation.organizations:
            if each.id == id_:
                return shapes.organization(each)
        raise ForbiddenError(404, f"Organization id={id_} not found!")

    def collaboration(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        if id_ != COLLABORATION_ID:
            raise ForbiddenError(404, f"Collaboration id={id_} not found!")
        return shapes.collaboration(self.federation)

    def study(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        raise ForbiddenError(404, f"Study id={id_} not found")

    def studies(self, caller: TaskRun, query: dict[str, str]) -> Any:  # noqa: ARG002
        return shapes.page([], "/study", query, dict)

    def blob_status(self, caller: TaskRun, query: dict[str, str]) -> Any:  # noqa: ARG002
        return {"blob_store_enabled": False}

    def tasks(self, caller: TaskRun, query: dict[str, str]) -> Any:
        tasks = self.server.tasks(caller.task.job)
        if "parent_id" in query:
            wanted = query["parent_id"]
            tasks = [each for each in tasks if each.parent is not None and str(each.parent.task.id) == wanted]
        return shapes.page(tasks, "/task", query, lambda each: shapes.task(each, self.federation))

    def task(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:
        task = self._task(caller, id_)
        shape = shapes.task(task, self.federation)
        included = query.get("include", "").split(",")
        if "runs" in included:
            shape["runs"] = [self._run_shape(run) for run in task.runs]
        if "results" in included:
            shape["results"] = [shapes.result(run) for run in task.runs]
        return shape

    def task_status(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        """Held until the task has ended: clients ask again after a second, then less and less often."""
        task = self._task(caller, id_)
        if task is not caller.task:
            self.server.wait(task, caller, self.hold)
        return {"status": status_of(task)}

    def runs(self, caller: TaskRun, query: dict[str, str]) -> Any:
        return shapes.page(self._runs(caller, query), "/run", query, self._run_shape)

    def run(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        return self._run_shape(self._run(caller, id_, "Run"))

    def results(self, caller: TaskRun, query: dict[str, str]) -> Any:
        if "task_id" not in query:
            raise ForbiddenError(400, "No task id found in request from algorithm...")
        return shapes.page(self._runs(caller, query), "/result", query, shapes.result)

    def result(self, caller: TaskRun, query: dict[str, str], id_: int) -> Any:  # noqa: ARG002
        return shapes.result(self._run(caller, id_, "Result"))

    def create_task(self, caller: TaskRun, body: bytes) -> Any:
        """A subtask of the caller's task."""
        try:
            value = json.loads(body)
        except ValueError as error:
            raise ForbiddenError(400, "Request body is incorrect") from error
        submission = parse(value, caller, self.federation)
        with self.server.changed:  # an algorithm may ask from several threads
            ordinal = len(caller.children) + 1
            task = self.server.create(
                name=submission.name,
                description=submission.description,
                image=caller.task.image,
                databases=submission.databases,
                asked=[
                    (
                        organization,
                        self._token(caller, ordinal, organization.name, submission, input_),
                        input_,
                    )
                    for organization, input_ in submission.inputs
                ],
                parent=caller,
                key=responses.task_key((caller.token, caller.organization.name), ordinal),
            )
        self.nodes.dispatch(caller, task.runs)
        return shapes.task(task, self.federation)

    def _token(self, caller: TaskRun, ordinal: int, name: str, submission: Submission, input_: bytes) -> str:
        parent = (caller.token, caller.organization.name)
        return responses.child_token(parent, ordinal, name, submission.databases, input_)

    def _task(self, caller: TaskRun, id_: int) -> EmbeddedTask:
        task = self.server.task(caller.task.job, id_)
        if task is None:
            raise ForbiddenError(404, f"Task id={id_} not found")
        return task

    def _run(self, caller: TaskRun, id_: int, what: str) -> TaskRun:
        run = self.server.run(caller.task.job, id_)
        if run is None:
            raise ForbiddenError(404, f"{what} id={id_} not found!")
        return run

    def _runs(self, caller: TaskRun, query: dict[str, str]) -> list[TaskRun]:
        if "task_id" not in query:
            runs = self.server.runs(caller.task.job)
        elif query["task_id"].isdigit() and self.server.task(caller.task.job, int(query["task_id"])) is not None:
            runs = self.server.runs(caller.task.job, int(query["task_id"]))
        else:
            raise ForbiddenError(400, f"Task id={query['task_id']} does not exist!")
        wanted = query.get("organization_id")
        runs = [run for run in runs if wanted in (None, str(run.organization.id))]
        return [run for run in runs if not run.ended] if query.get("state") == "open" else runs

    def _run_shape(self, run: TaskRun) -> dict[str, Any]:
        return shapes.run(run, self.nodes.log(run))


ROUTES: dict[str, Callable[..., Any]] = {
    r"/organization": Resources.organizations,
    r"/organization/(\d+)": Resources.organization,
    r"/collaboration/(\d+)": Resources.collaboration,
    r"/study": Resources.studies,
    r"/study/(\d+)": Resources.study,
    r"/blobstream/status": Resources.blob_status,
    r"/task": Resources.tasks,
    r"/task/(\d+)": Resources.task,
    r"/task/(\d+)/status": Resources.task_status,
    r"/run": Resources.runs,
    r"/run/(\d+)": Resources.run,
    r"/result": Resources.results,
    r"/result/(\d+)": Resources.result,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would look up this machine's name

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # an algorithm that was killed breaks its connection
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    resources: Resources
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body in one segment

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PATCH(self) -> None:
        self._answer(self._refuse)

    do_PUT = do_DELETE = do_PATCH  # noqa: N815  the base class looks for these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing: only reporters write for people."""

    def _get(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path in OPEN:
            return 200, {"version": VERSION} if path == "/version" else {"database": True}
        caller = self.resources.caller(self.headers.get("Authorization"))
        for pattern, resource in ROUTES.items():
            found = re.fullmatch(pattern, path)
            if found:
                return 200, resource(self.resources, caller, query, *map(int, found.groups()))
        raise ForbiddenError(404, f"There is nothing at {path} here.")

    def _post(self, path: str, query: dict[str, str]) -> tuple[int, Any]:  # noqa: ARG002
        body = self._body()
        caller = self.resources.caller(self.headers.get("Authorization"))
        if path != "/task":
            raise ForbiddenError(404, f"Nothing can be posted to {path} here.")
        return 201, self.resources.create_task(caller, body)

    def _refuse(self, path: str, query: dict[str, str]) -> tuple[int, Any]:  # noqa: ARG002
        self.close_connection = True
        raise ForbiddenError(405, f"The method {self.command} is not allowed for an algorithm.")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.close_connection = True
            raise ForbiddenError(413 if length.isdigit() else 411, "A body needs its length, of at most 1 GiB.")
        return self.rfile.read(int(length))

    def _answer(self, method: Callable[[str, dict[str, str]], tuple[int, Any]]) -> None:
        url = urlsplit(self.path)
        try:
            status, value = method(url.path.rstrip("/"), dict(parse_qsl(url.query)))
        except ForbiddenError as refused:
            status, value = refused.status, {"msg": refused.message}
            if refused.errors is not None:
                value["errors"] = refused.errors
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the algorithm's log shall have it
            status, value = 500, {"msg": f"{type(error).__name__}: {error}"}
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
