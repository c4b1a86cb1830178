"""A real vantage6 server with real nodes on loopback, for tests.

`shared()` is the server of this process, made when it is first asked for; `shared().plain` and `shared().encrypted`
are its federations. Everything ends with this process, however it ends.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment
from program import PATIENCE, LiveError, Program, http, reserved_port, surroundings
from store import LiveStore, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

PROBE = "probe"  # the image of tests/algorithms/v6_probe
HOSPITAL_STATS = "registry.example/hospital-stats:1.0"
FORBIDDEN = "registry.example/forbidden"  # no node allows it
UNKNOWN = "registry.invalid/none"  # no node can find it

AGES: Mapping[str, Sequence[int]] = {"alpha": (1, 2, 3), "beta": (4, 5), "gamma": (9,), "delta": (0,)}
"""The column `age` of the database `default` at each organization; `hospital` is that of workflows/data."""
ORGANIZATIONS = tuple(AGES)
OFFLINE = "delta"  # its nodes start only when asked to
FORGETTING = 5.0  # seconds; the server takes milliseconds, if it does it at all


@dataclass(frozen=True)
class User:
    """Somebody who can log in; `totp_secret` counts only at `LiveServer.two_factor`."""

    username: str
    password: str
    organization: str = "alpha"
    totp_secret: str | None = None


@dataclass(frozen=True)
class Users:
    """Who may do what: the names say it."""

    everything: User
    """May do everything."""
    researcher: User
    """Has the server's role `Researcher`: tasks in its collaborations, sees all their runs, kills nothing."""
    organization_view: User
    """Makes tasks in its collaborations and kills them; lists and hears of its own organization's runs only."""
    two_factor: User
    """May do everything, and has a TOTP secret."""


@dataclass(frozen=True)
class NodeSettings:
    """What `node.py` is told; a test may change any of it by `start_node(name, **changes)`."""

    port: int
    api_key: str
    folder: str
    private_key: str | None
    databases: Mapping[str, Mapping[str, str]]  # label → uri, type
    algorithms: Mapping[str, Mapping[str, str]]  # image → package, path
    environment: Mapping[str, str] = field(default_factory=dict)  # for algorithms
    allowed_algorithms: Sequence[str] | None = None  # patterns; None: all
    not_allowed: Sequence[str] = (FORBIDDEN,)  # images refused without the server being told
    share_algorithm_logs: bool = True
    share_config: bool = True


_PACKAGES: Mapping[str, Mapping[str, str]] = {
    PROBE: {"package": "v6_probe", "path": str(PROJECT / "tests" / "algorithms")},
    HOSPITAL_STATS: {
        "package": "hospital_stats",
        "path": str(PROJECT / "workflows" / "algorithms" / "hospital-stats"),
    },
}
ALGORITHMS = {**_PACKAGES, **{pinned(image): package for image, package in _PACKAGES.items()}}
"""By image; pinned to a digest, as the server names it where a store is asked, too."""


class LiveServer:
    """The server, its database, its users and its two federations."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="v6flow-live-"))
        self.users = Users(
            everything=User("alpha-everything", secrets.token_urlsafe(12)),
            researcher=User("alpha-researcher", secrets.token_urlsafe(12)),
            organization_view=User("alpha-organization-view", secrets.token_urlsafe(12)),
            two_factor=User("alpha-two-factor", secrets.token_urlsafe(12), totp_secret=_totp_secret()),
        )
        self._jwt_secret = secrets.token_urlsafe(32)
        self._reservation = reserved_port()  # the port stays ours while the server is away
        self.port: int = self._reservation.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.plain = LiveFederation(self, "hospitals", encrypted=False)
        self.encrypted = LiveFederation(self, "hospitals-encrypted", encrypted=True)
        self._world = self._make_world()
        self._program: Program | None = None
        self._store: LiveStore | None = None
        self._tokens: dict[str, str] = {}
        self.ids: dict[str, dict[str, int]] = {}
        """Of organizations, collaborations, nodes and users, by name."""

    def start(self) -> None:
        """Start the server, again if it was stopped: same port, same data; wait until all its nodes are back."""
        if self._program is not None and self._program.alive():
            return
        self.stop()
        programs = [*self.plain.programs.values(), *self.encrypted.programs.values()]
        for program in programs:
            program.forget_lines()
        self._program = self._serve("server", self.port, two_factor=False)
        self.ids = json.loads(self._program.line())
        for program in programs:
            if program.alive():
                program.line()

    def is_running(self) -> bool:
        """Whether the server is at work."""
        return self._program is not None and self._program.alive()

    def stop(self) -> None:
        """Stop the server alone; its nodes wait for it."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def close(self, *, keep_folder: bool = False) -> None:
        """End everything; the folder with its logs goes, unless it is wanted."""
        for federation in (self.plain, self.encrypted):
            federation.stop(hard=True)
        if self._store is not None:
            self._store.close()
        self.stop()
        self._reservation.close()
        if not keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def store(self) -> LiveStore:
        """The algorithm store of `plain`, which starts when it is first asked for."""
        if self._store is None:
            self._store = LiveStore(self.plain)
        return self._store

    @contextlib.contextmanager
    def two_factor(self) -> Iterator[str]:
        """A second server on the same data that demands a second factor of everybody; its address."""
        with reserved_port() as reservation:
            port = reservation.getsockname()[1]
            program = self._serve("two-factor", port, two_factor=True)
            try:
                program.line()
                yield f"http://127.0.0.1:{port}/api"
            finally:
                program.stop()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: User | None = None,
        url: str | None = None,
    ) -> tuple[int, Any]:
        """What the server answers a user (without `user`: the one who may do everything), as (status, body)."""
        user = user or self.users.everything
        if user.username not in self._tokens:
            credentials = {"username": user.username, "password": user.password}
            status, answer = http("POST", f"{url or self.url}/token/user", credentials)
            if "access_token" not in answer:
                raise LiveError(f"{user.username} cannot log in: {status} {answer}")
            self._tokens[user.username] = answer["access_token"]
        return http(method, f"{url or self.url}{path}", body, token=self._tokens[user.username])

    def official(self, script: str, *, user: User | None = None, key: Path | None = None, **names: Any) -> Any:
        """Run a script with the official client in the live environment.

        It finds a logged-in `client` and `names` (JSON values) as variables, and leaves its answer in `answer`.
        """
        user = user or self.users.everything
        given = {
            "port": self.port,
            "username": user.username,
            "password": user.password,
            "key": str(key) if key else None,
            "names": names,
            "script": script,
        }
        done = subprocess.run(
            [str(environment.interpreter()), "-c", OFFICIAL],
            input=json.dumps(given).encode(),
            capture_output=True,
            env=surroundings(self.folder),
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise LiveError(f"the official client failed:\n{said}\n{self.tails()}")
        return json.loads(done.stdout.splitlines()[-1])

    def tails(self) -> str:
        """The last lines of all logs: the server's and the nodes'."""
        programs = [self._program] if self._program else []
        programs += [*self.plain.programs.values(), *self.encrypted.programs.values()]
        tails = [program.tails() for program in programs]
        return "\n".join([*tails, self._store.tails()] if self._store else tails)

    def private_key(self, organization: str) -> Path:
        return self.folder / f"{organization}.pem"

    def _serve(self, name: str, port: int, *, two_factor: bool) -> Program:
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        config = folder / "live.yaml"
        config.write_text(json.dumps(self._configuration(port, two_factor=two_factor)), encoding="utf-8")
        config.chmod(0o600)
        settings = {"config": str(config), "port": port, "world": self._world}
        return Program(f"the server ({name})", "serve.py", settings, folder)

    def _configuration(self, port: int, *, two_factor: bool) -> dict[str, Any]:
        return {
            **self.configuration(port, self.folder / "database.sqlite"),
            "jwt_secret_key": self._jwt_secret,
            "two_factor_auth": two_factor,
        }

    def configuration(self, port: int, database: Path) -> dict[str, Any]:
        """What a server and a store are both told."""
        return {
            "description": "for tests",
            "ip": "127.0.0.1",
            "port": port,
            "api_path": "/api",
            "uri": f"sqlite:///{database}?timeout=60",
            "allow_drop_all": False,
            "dev": {"host_uri": "127.0.0.1"},  # which they call localhost when they talk to each other
            "logging": {
                "level": "INFO",
                "file": "server.log",
                "use_console": False,
                "backup_count": 1,
                "max_size": 10_000,
                "format": "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
                "datefmt": "%H:%M:%S",
                "loggers": [],
            },
        }

    def _make_world(self) -> dict[str, Any]:
        all_powerful = (self.users.everything, self.users.two_factor)
        return {
            "organizations": [
                {
                    "name": name,
                    "domain": f"{name}.example.org",
                    "address1": "1 Road",
                    "address2": "",
                    "zipcode": "1000",
                    "country": "NL",
                    "private_key": str(self.private_key(name)),
                    "users": [_fixture(user) for user in all_powerful if user.organization == name],
                }
                for name in ORGANIZATIONS
            ],
            "collaborations": [
                {
                    "name": federation.name,
                    "encrypted": federation.is_encrypted,
                    "participants": [{"name": name, "api_key": federation.api_keys[name]} for name in ORGANIZATIONS],
                }
                for federation in (self.plain, self.encrypted)
            ],
            "users": [
                asdict(self.users.researcher) | {"role": "Researcher"},
                asdict(self.users.organization_view) | {"rules": ORGANIZATION_RULES},
            ],
        }


ORGANIZATION_RULES = (
    ("organization", "VIEW", "COLLABORATION"),
    ("collaboration", "VIEW", "ORGANIZATION"),
    ("node", "VIEW", "COLLABORATION"),
    ("study", "VIEW", "ORGANIZATION"),
    ("task", "CREATE", "COLLABORATION"),
    ("task", "VIEW", "ORGANIZATION"),
    ("run", "VIEW", "ORGANIZATION"),
    ("event", "RECEIVE", "ORGANIZATION"),
    ("event", "SEND", "COLLABORATION"),  # the narrowest that may kill
)


class LiveFederation:
    """A collaboration of alpha, beta, gamma and delta at the live server, with their nodes; delta's is off."""

    def __init__(self, server: LiveServer, name: str, *, encrypted: bool) -> None:
        self.server = server
        self.name = name
        self.is_encrypted = encrypted
        self.api_keys = {each: str(uuid.uuid4()) for each in ORGANIZATIONS}
        self.programs: dict[str, Program] = {}
        self._settings: dict[str, NodeSettings] = {}

    @property
    def server_url(self) -> str:
        return self.server.url

    @property
    def users(self) -> Users:
        return self.server.users

    @property
    def collaboration_id(self) -> int:
        return self.server.ids["collaborations"][self.name]

    @property
    def organization_ids(self) -> dict[str, int]:
        """Without the organization `root`, which every server has."""
        return {name: self.server.ids["organizations"][name] for name in ORGANIZATIONS}

    @property
    def node_ids(self) -> dict[str, int]:
        return {name: self.server.ids["nodes"][f"{name} - {self.name} Node"] for name in ORGANIZATIONS}

    def start(self) -> None:
        """Start what is not at work: the server, and all nodes but delta's; undo what a test changed."""
        self.server.start()
        for name in [*self.programs]:
            if name == OFFLINE or self._settings[name] != self.settings(name) or not self._alive(name):
                self.stop_node(name)
        missing = [name for name in ORGANIZATIONS if name not in (*self.programs, OFFLINE)]
        for name in missing:
            self._begin(name, self.settings(name))
        for name in missing:
            self._await(name)

    def stop(self, *, hard: bool = False) -> None:
        """Stop the nodes."""
        for name in [*self.programs]:
            self.stop_node(name, hard=hard)

    def stop_server(self) -> None:
        self.server.stop()

    def start_server(self) -> None:
        """Start the server again, and wait until all nodes are back."""
        self.server.start()

    def start_node(self, name: str, **changes: Any) -> None:
        """Start a node, with other settings (see `NodeSettings`) if wanted; returns when the server knows it."""
        assert name not in self.programs, f"the node of {name} is at work; stop it first"
        self._begin(name, NodeSettings(**{**vars(self.settings(name)), **changes}))
        self._await(name)

    def stop_node(self, name: str, *, hard: bool = False) -> None:
        """Stop a node with its algorithms; `hard`: as if the power were cut. Nothing happens if it is off."""
        program = self.programs.pop(name, None)
        if program is None:
            return
        program.stop(hard=hard)
        if not hard and self.server.is_running():
            # else what the server does when it hears of it meets what the next node tells
            self.wait_for(lambda: self.node(name)["status"] != "online", f"the server to see that {name} is gone")
            self._wait_until_forgotten(name)

    def _wait_until_forgotten(self, name: str) -> None:
        """Until the server has dropped what an offline node told of itself, or will not any more.

        It does so right after it has marked the node offline, unless a request at the same moment takes the
        database's session from under it (DetachedInstanceError in the server's log). Then what the node told stays
        until its next connection, where the server drops it first: nothing to wait for.
        """
        deadline = time.monotonic() + FORGETTING
        while self.node(name)["config"] and time.monotonic() < deadline:
            time.sleep(0.05)

    def node(self, name: str) -> dict[str, Any]:
        """What the server says of a node: status, config, …"""
        status, body = self.server.request("GET", f"/node/{self.node_ids[name]}")
        assert status == 200, body
        found: dict[str, Any] = body
        return found

    def settings(self, name: str) -> NodeSettings:
        """Those of a node that no test has changed."""
        folder = self.server.folder / self.name / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ages = folder / "ages.csv"
        if not ages.exists():
            ages.write_text("age\n" + "".join(f"{age}\n" for age in AGES[name]), encoding="utf-8")
        databases = {"default": {"uri": str(ages), "type": "csv"}}
        hospital = PROJECT / "workflows" / "data" / f"{name}.csv"
        if hospital.exists():
            databases["hospital"] = {"uri": str(hospital), "type": "csv"}
        return NodeSettings(
            port=self.server.port,
            api_key=self.api_keys[name],
            folder=str(folder / "tasks"),
            private_key=str(self.server.private_key(name)) if self.is_encrypted else None,
            databases=databases,
            algorithms=ALGORITHMS,
        )

    def write_federation_file(
        self,
        path: Path,
        *,
        user: User | None = None,
        server: str | None = None,
        organizations: Sequence[str] = ORGANIZATIONS,
    ) -> Path:
        """Write a federation file for v6flow, with the secrets that it refers to in files beside it."""
        user = user or self.users.everything
        lines = [
            "v6flow_federation: 1",
            "backend: vantage6",
            f"server: {json.dumps(server or self.server_url)}",
            f"collaboration: {json.dumps(self.name)}",
            f"organizations: {json.dumps({name: {'name': name} for name in organizations})}",
            f"username: {user.username}",
            f"password: ${{file:{_secret(path.with_suffix('.password'), user.password)}}}",
        ]
        if user.totp_secret is not None:
            secret = _secret(path.with_suffix(".totp"), user.totp_secret)
            lines.append(f"totp_secret: ${{file:{secret}}}")
        if self.is_encrypted:
            lines.append(f"private_key: {json.dumps(str(self.server.private_key(user.organization)))}")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def create_task(
        self,
        method: str,
        kwargs: Mapping[str, Any] | None = None,
        organizations: Sequence[str] = ("alpha", "beta", "gamma"),
        *,
        image: str = PROBE,
        databases: Sequence[str] = ("default",),
        user: User | None = None,
    ) -> int:
        """Create a task and return its id; in an encrypted collaboration the official client encrypts."""
        input_ = {"method": method, "kwargs": dict(kwargs or {})}
        ids = [self.organization_ids[name] for name in organizations]
        body: dict[str, Any] = {
            "name": method,
            "description": "",
            "image": image,
            "databases": [{"label": label} for label in databases],
        }
        if self.is_encrypted:
            task = self.official(
                "answer = client.task.create(collaboration=collaboration, organizations=ids, input_=input_, **body)",
                user=user,
                collaboration=self.collaboration_id,
                ids=ids,
                input_=input_,
                body=body,
            )
        else:
            plain = base64.b64encode(json.dumps(input_).encode()).decode()
            body["collaboration_id"] = self.collaboration_id
            body["organizations"] = [{"id": id_, "input": plain} for id_ in ids]
            status, task = self.server.request("POST", "/task", body, user=user)
            assert status == 201, task
        return int(task["id"])

    def runs(self, task: int) -> dict[str, dict[str, Any]]:
        """The runs of a task, by organization."""
        status, body = self.server.request("GET", f"/run?task_id={task}&per_page=100")
        assert status == 200, body
        names = {id_: name for name, id_ in self.organization_ids.items()}
        return {names[run["organization"]["id"]]: run for run in body["data"]}

    def ended(self, task: int) -> dict[str, dict[str, Any]]:
        """The runs of a task once all have ended."""

        def finished() -> bool:
            return all(run["finished_at"] for run in self.runs(task).values())

        self.wait_for(finished, f"task {task} to end")
        return self.runs(task)

    def results(self, task: int) -> dict[str, Any]:
        """What the runs of a task returned, by organization, once all have ended."""
        runs = {run["id"]: name for name, run in self.ended(task).items()}
        if self.is_encrypted:
            script = "answer = client.result.from_task(task)['data']"
            found = {runs[each["run"]["id"]]: each["result"] for each in self.official(script, task=task)}
            return {name: json.loads(result) if result else None for name, result in found.items()}
        status, body = self.server.request("GET", f"/result?task_id={task}&per_page=100")
        assert status == 200, body
        return {
            runs[each["run"]["id"]]: json.loads(base64.b64decode(each["result"])) if each["result"] else None
            for each in body["data"]
        }

    def official(self, script: str, *, user: User | None = None, **names: Any) -> Any:
        """See `LiveServer.official`; the client can read and write what is encrypted."""
        organization = (user or self.users.everything).organization
        key = self.server.private_key(organization) if self.is_encrypted else None
        return self.server.official(script, user=user, key=key, **names)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Look again and again, and show the logs if it never comes true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise LiveError(f"waited {PATIENCE:.0f} s in vain for {what}\n{self.server.tails()}")
            time.sleep(0.05)

    def _alive(self, name: str) -> bool:
        return self.programs[name].alive()

    def _begin(self, name: str, settings: NodeSettings) -> None:
        folder = self.server.folder / self.name / name
        self._settings[name] = settings
        self.programs[name] = Program(f"the node of {name} ({self.name})", "node.py", asdict(settings), folder)

    def _await(self, name: str) -> None:
        """Until it is ready; a node that cannot start is not kept."""
        try:
            self.programs[name].line()
        except LiveError:
            self.stop_node(name)
            raise


@cache
def shared() -> LiveServer:
    """The one server of this process; its nodes start with `plain.start()` and `encrypted.start()`."""
    server = LiveServer()
    atexit.register(server.close, keep_folder="V6FLOW_KEEP_LIVE" in os.environ)
    server.start()
    return server


def _secret(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path.absolute()


def _fixture(user: User) -> dict[str, str | None]:
    return {
        "username": user.username,
        "firstname": "",
        "lastname": "",
        "email": f"{user.username}@example.org",
        "password": user.password,
        "otp_secret": user.totp_secret,
    }


def _totp_secret() -> str:
    return base64.b32encode(secrets.token_bytes(20)).decode("ascii")


OFFICIAL = """
import json, sys
given = json.load(sys.stdin)
from vantage6.client import UserClient
client = UserClient("http://127.0.0.1", given["port"], "/api", log_level="warn")
client.authenticate(given["username"], given["password"])
client.setup_encryption(given["key"])
names = {"client": client, "answer": None, **given["names"]}
exec(given["script"], names)
print()
print(json.dumps(names["answer"]))
"""

if __name__ == "__main__":
    live = shared().plain
    live.start()
    shared().encrypted.start()
    print(live.server.url, live.server.folder, live.users, sep="\n", flush=True)
    print("press Enter to end it", file=sys.stderr)
    sys.stdin.readline()
