"""Plays a vantage6 node without a container engine, in the environment of `environment.py`: `node.py SETTINGS`.

SETTINGS is a JSON file (see `federation.NodeSettings`). The client, the encryption and the proxy that algorithms
talk to are the released node's own; an algorithm runs as a process instead of a container. A line `ready` on
stdout says, after each (re)connection, that the server knows that the node is there. It ends, with its algorithms,
when its stdin ends.
"""

# vantage6 carries no types, and is not installed where mypy runs:
# mypy: ignore-errors

from __future__ import annotations

import base64
import contextlib
import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import socketio
from vantage6.common.client.node_client import NodeClient
from vantage6.common.task_status import TaskStatus
from vantage6.node import proxy_server
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "http://127.0.0.1"
WRAP = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"
# a killed node takes its algorithms along
DIE_WITH_NODE = "import ctypes; ctypes.CDLL(None).prctl(1, 9); del ctypes; "
PING = 30.0  # seconds; the server takes a node for offline after 65
ANSWER = 10.0  # seconds to wait until the server has taken an event
log = logging.getLogger("node")


def encode(value: str) -> str:
    """A variable as a node encodes it: base32 with `!` for `=`."""
    return base64.b32encode(value.encode()).decode("ascii").replace("=", "!")


def parent_of(task: dict) -> int | None:
    return (task.get("parent") or {}).get("id")


class Run:
    """A task run on this node: an algorithm that is to start, is at work, or has ended."""

    def __init__(self, node: Node, found: dict) -> None:
        self.node = node
        self.id = found["id"]
        self.task = found["task"]
        self.input = found["input"]
        self.killed = False
        self.begun = False
        self.process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._output = bytearray()

    def perform(self) -> None:
        """Start the algorithm, wait for its end and report it, in the order of the released node."""
        try:
            self._perform()
        except Exception:
            log.exception("run %s", self.id)
        finally:
            self.node.ended(self)

    def kill(self) -> bool:
        """End it; False if it has ended or has not begun."""
        with self._lock:
            if not self.begun or self.killed:
                return False
            self.killed = True
            if self.process is not None and self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            return True

    def _perform(self) -> None:
        client, image = self.node.client, self.task["image"]
        client.set_task_start_time(self.id)
        answer = client.request_token_for_container(self.task["id"], image)
        if "container_token" not in answer:
            log.error("run %s: no container token: %s", self.id, answer.get("msg"))
            why = "Could not obtain algorithm container token"
            client.run.patch(self.id, {"status": TaskStatus.FAILED.value, "log": why})
            return
        if not self.node.allows(image):
            self._report(TaskStatus.NOT_ALLOWED, finished_at=now())
            return
        algorithm = self.node.settings["algorithms"].get(image)
        if algorithm is None:
            self._report(TaskStatus.NO_DOCKER_IMAGE)
            self._send(TaskStatus.NO_DOCKER_IMAGE, b"", "Container failed. Check node logs for details")
            return
        folder = self._folder(answer["container_token"])
        with self._lock:
            self.begun = True
            self.process = self._start(folder, algorithm)
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._report(TaskStatus.ACTIVE)
        code = self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what it left behind would end with a container
        with self._lock:
            self.begun = False
        if self.killed:
            return
        reader.join(ANSWER)
        status = TaskStatus.CRASHED if code else TaskStatus.COMPLETED
        self._send(status, (folder / "output").read_bytes(), self._output.decode(errors="replace"))

    def _folder(self, token: str) -> Path:
        folder = Path(self.node.settings["folder"]) / f"task-{self.id:09d}"
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        text = self.input if isinstance(self.input, bytes) else str(self.input).encode()
        (folder / "input").write_bytes(text)
        (folder / "output").write_bytes(b"")
        (folder / "token").write_text(token, encoding="ascii")
        return folder

    def _start(self, folder: Path, algorithm: dict) -> subprocess.Popen:
        plain = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": algorithm["path"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "PKG_NAME": algorithm["package"],
        }
        return subprocess.Popen(
            [sys.executable, "-c", (DIE_WITH_NODE if sys.platform == "linux" else "") + WRAP],
            cwd=folder / "tmp",
            env=plain | {name: encode(value) for name, value in self._variables(folder).items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _variables(self, folder: Path) -> dict[str, str]:
        settings = self.node.settings
        chosen = self.task.get("databases") or []
        variables = {
            "INPUT_FILE": str(folder / "input"),
            "OUTPUT_FILE": str(folder / "output"),
            "TOKEN_FILE": str(folder / "token"),
            "TEMPORARY_FOLDER": str(folder / "tmp"),
            "HOST": HOST,
            "PORT": str(self.node.proxy_port),
            "API_PATH": "",
            "USER_REQUESTED_DATABASE_LABELS": ",".join(each["label"] for each in chosen),
            "DB_LABELS": ",".join(settings["databases"]),
        }
        for each in chosen:
            parameters = json.loads(each.get("parameters") or "{}")
            for key in ("query", "sheet_name"):
                if key in parameters:
                    variables[f"{each['label'].upper()}_{key.upper()}"] = parameters[key]
            if "preprocessing" in parameters:
                name = f"{each['label'].upper()}_PREPROCESSING"
                variables[name] = json.dumps(parameters["preprocessing"])
        for label, database in settings["databases"].items():
            variables[f"{label.upper()}_DATABASE_URI"] = database["uri"]
            variables[f"{label.upper()}_DATABASE_TYPE"] = database["type"]
        return variables | settings["environment"]

    def _read(self) -> None:
        """Keep what it says, and show it to those who listen."""
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            self._output += data
            if self.node.settings["share_algorithm_logs"] and not self.killed:
                text = data.decode(errors="replace")
                self.node.tell("algorithm_log", self._names() | {"log": text}, answered=True)

    def _report(self, status: TaskStatus, **more: str) -> None:
        self.node.client.run.patch(self.id, {"status": status.value, **more})
        self.tell(status)

    def _send(self, status: TaskStatus, result: bytes, said: str) -> None:
        """The end of a run: first the event, then who asked, then the result, encrypted for them."""
        client = self.node.client
        self.tell(status)
        task = client.request(f"run/{self.id}")["task"]["id"]
        asker = client.request(f"task/{task}")["init_org"]["id"]
        if not self.node.settings["share_algorithm_logs"]:
            said = "Node does not allow sharing algorithm logs"
        outcome = {"result": result, "log": said, "status": status.value, "finished_at": now()}
        client.run.patch(self.id, outcome, init_org_id=asker)

    def tell(self, status: TaskStatus) -> None:
        event = self._names() | {"status": status.value, "parent_id": parent_of(self.task)}
        self.node.tell("algorithm_status_change", event)

    def _names(self) -> dict:
        me = self.node.client.whoami
        return {
            "run_id": self.id,
            "task_id": self.task["id"],
            "collaboration_id": self.node.client.collaboration_id,
            "node_id": me.id_,
            "organization_id": me.organization_id,
        }


class Events(socketio.ClientNamespace):
    """What the server tells; each is dealt with in a thread of its own, so that more can be heard."""

    node: Node

    def on_sync(self) -> None:
        log.info("connected")
        threading.Thread(target=self.node.synchronize, daemon=True).start()

    def on_new_task(self, data: dict) -> None:
        threading.Thread(target=self.node.take, args=(data["id"],), daemon=True).start()

    def on_kill_containers(self, info: dict) -> None:
        threading.Thread(target=self.node.kill, args=(info,), daemon=True).start()

    def on_expired_token(self) -> None:
        threading.Thread(target=self.node.log_in_again, daemon=True).start()

    on_invalid_token = on_expired_token


class Node:
    """The node: its connection to the server, and the runs that it has taken."""

    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.client = NodeClient(host=HOST, port=settings["port"], path="/api")
        self.socket = socketio.Client(
            reconnection_delay=0.2, reconnection_delay_max=1, randomization_factor=0.1, handle_sigint=False
        )
        self.proxy_port = 0
        self._lock = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._ended: set[int] = set()

    def start(self) -> None:
        self._log_in()
        self.client.auto_refresh_token()
        self.client.setup_encryption(self.settings["private_key"])
        self._start_proxy()
        events = Events("/tasks")
        events.node = self
        self.socket.register_namespace(events)
        self._connect()
        threading.Thread(target=self._ping, daemon=True).start()

    def stop(self) -> None:
        """End all algorithms and say good-bye; what they did is not reported, as when a node is stopped."""
        for run in list(self._runs.values()):
            run.kill()
        self.socket.disconnect()

    def log_in_again(self) -> None:
        self.socket.disconnect()
        self._log_in()
        self._connect()

    def synchronize(self) -> None:
        """Take what was asked while away, and say what there is here."""
        self._take(self.client.run.list(state="open", include_task=True))
        if self.settings["share_config"]:
            self.tell("node_info_update", self._details(), answered=True)
        self.tell("ping", answered=True)
        print("ready", flush=True)

    def take(self, task: int) -> None:
        self._take(self.client.run.list(state="open", include_task=True, task_id=task))

    def kill(self, info: dict) -> None:
        """Kill what the server lists, or everything if it lists nothing."""
        me = self.client.whoami
        if info["collaboration_id"] != self.client.collaboration_id:
            return
        if info.get("node_id", me.id_) != me.id_:
            return
        listed = info.get("kill_list")
        for run in list(self._runs.values()):
            wanted = {"organization_id": me.organization_id, "run_id": run.id}
            if listed and not any(each.items() >= wanted.items() for each in listed):
                continue
            if run.kill():
                self.client.run.patch(run.id, {"status": TaskStatus.KILLED.value})
                run.tell(TaskStatus.KILLED)

    def allows(self, image: str) -> bool:
        allowed = self.settings["allowed_algorithms"]
        if image in self.settings["not_allowed"]:
            return False
        return allowed is None or any(re.match(each, image) for each in allowed)

    def ended(self, run: Run) -> None:
        with self._lock:
            self._ended.add(run.id)
            self._runs.pop(run.id, None)

    def tell(self, event: str, data: dict | None = None, *, answered: bool = False) -> None:
        """Emit an event, and wait until the server has dealt with it if wanted; lost if not connected."""
        try:
            if answered:
                self.socket.call(event, data, namespace="/tasks", timeout=ANSWER)
            else:
                self.socket.emit(event, data, namespace="/tasks")
        except socketio.exceptions.SocketIOError as error:
            log.warning("not told: %s (%r)", event, error)

    def _take(self, found: list[dict]) -> None:
        with self._lock:
            new = [Run(self, each) for each in found if each["id"] not in {*self._runs, *self._ended}]
            self._runs.update((run.id, run) for run in new)
        for run in new:
            threading.Thread(target=run.perform, daemon=True).start()

    def _details(self) -> dict:
        databases = self.settings["databases"]
        details = {
            "encryption": self.settings["private_key"] is not None,
            "allowed_algorithms": self.settings["allowed_algorithms"] or "all",
            "database_labels": list(databases),
            "database_types": {f"db_type_{label}": each["type"] for label, each in databases.items()},
        }
        columns = {
            f"columns_{label}": next(csv.reader([Path(each["uri"]).read_text(encoding="utf-8").splitlines()[0]]))
            for label, each in databases.items()
            if each["type"] == "csv"
        }
        return details | ({"database_columns": columns} if columns else {})

    def _log_in(self) -> None:
        until(self._logged_in)

    def _logged_in(self) -> bool:
        try:
            self.client.authenticate(self.settings["api_key"])
        except requests.ConnectionError as error:
            log.warning("no server: %s", error)
            return False
        return True

    def _connect(self) -> None:
        until(self._connected)

    def _connected(self) -> bool:
        try:
            self.socket.connect(
                f"{HOST}:{self.settings['port']}",
                headers=lambda: self.client.headers,  # a fresh token at each reconnection
                namespaces=["/tasks"],
                wait=False,
            )
        except socketio.exceptions.ConnectionError as error:
            log.warning("no connection: %s", error)
            return False
        return True

    def _start_proxy(self) -> None:
        proxy_server.app.config["SERVER_IO"] = self.client
        proxy_server.server_url = self.client.base_path
        server = make_server("127.0.0.1", 0, proxy_server.app, threaded=True)
        self.proxy_port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _ping(self) -> None:
        while True:
            time.sleep(PING)
            if self.socket.connected:
                self.tell("ping")


def until(done: Callable[[], bool]) -> None:
    """Try until it is done."""
    while not done():
        time.sleep(0.2)


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


def start(node: Node) -> None:
    try:
        node.start()
    except BaseException:
        log.exception("cannot start")
        os._exit(1)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # the released node has no websocket package either; its client says so each time it polls instead
    logging.getLogger("engineio.client").setLevel(logging.CRITICAL)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("vantage6").setLevel(logging.INFO)
    node = Node(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    threading.Thread(target=start, args=(node,), daemon=True).start()
    while os.read(0, 1):
        pass
    ending = threading.Thread(target=node.stop, daemon=True)
    ending.start()
    ending.join(10)  # a good-bye that does not arrive is noticed after two minutes only
    os._exit(0)


if __name__ == "__main__":
    main()
