"""Hears the server's events, where python-socketio is installed and this user may hear them; polling goes on anyway."""

from __future__ import annotations

import importlib.util
import logging
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import requests

from v6flow.backends.vantage6.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.vantage6.notifications import Notifications
    from v6flow.backends.vantage6.session import Session

LOG = logging.getLogger(__name__)
NAMESPACE = "/tasks"
PATIENCE = 10.0  # seconds for connecting, and for being let into the room
LONGEST_WAIT = 300.0
NOT_ELSEWHERE = {"redirect_limit": 0}  # websocket-client follows redirects to any host, and takes our token there


def is_possible() -> bool:
    """Whether python-socketio is there."""
    return importlib.util.find_spec("socketio") is not None


class Socket:
    """A connection that is made again whenever it is lost.

    `live` is told when events of the collaboration begin and cease to come: a socket that connected with a token the
    server does not take looks connected and is deaf, so only the server's word that it joined the room counts.
    """

    def __init__(
        self,
        session: Session,
        collaboration: int,
        signals: Notifications,
        *,
        live: Callable[[bool], None],
        random: Callable[[], float],
    ) -> None:
        self._session = session
        self._room = f"joined room <collaboration_{collaboration}>"
        self._signals = signals
        self._live = live
        self._waits = Backoff(1.0, LONGEST_WAIT, random=random)
        self._closed = Event()
        self._thread = Thread(target=self._run, name="v6flow-socket", daemon=True)
        self._thread.start()

    def close(self, patience: float) -> None:
        """End, and wait for that for `patience` seconds."""
        self._closed.set()
        self._thread.join(patience)

    def _run(self) -> None:
        socketio: Any = importlib.import_module("socketio")
        while not self._closed.is_set():
            joined, lost = Event(), Event()
            client = socketio.Client(
                reconnection=False,
                handle_sigint=False,
                http_session=self._http(),
                websocket_extra_options=NOT_ELSEWHERE,
            )
            client.on("connect", self._ignore, namespace=NAMESPACE)
            client.on("disconnect", lambda *_, lost=lost: lost.set(), namespace=NAMESPACE)
            client.on("message", lambda said, joined=joined: self._room in str(said) and joined.set(), NAMESPACE)
            client.on("expired_token", lambda *_, lost=lost: lost.set(), namespace=NAMESPACE)
            client.on("invalid_token", lambda *_, lost=lost: lost.set(), namespace=NAMESPACE)
            client.on("algorithm_status_change", self._signals.status_changed, namespace=NAMESPACE)
            client.on("new_task", self._signals.created, namespace=NAMESPACE)
            client.on("status_update", self._signals.updated, namespace=NAMESPACE)
            try:
                self._listen(client, joined, lost)
            except Exception as error:  # noqa: BLE001  polling finds all; what went wrong here may pass
                LOG.info("no events from the server: %s", error)
            finally:
                self._drop(client)
            self._closed.wait(self._waits.next())

    def _listen(self, client: Any, joined: Event, lost: Event) -> None:
        """Connect, and return when that is over."""
        client.connect(
            self._session.transport.address.origin,
            headers={"Authorization": f"Bearer {self._session.access_token()}"},
            namespaces=[NAMESPACE],
            wait_timeout=PATIENCE,
        )
        for _ in range(int(PATIENCE / 0.1)):
            if joined.wait(0.1) or lost.is_set() or self._closed.is_set():
                break
        if not joined.is_set():
            LOG.info("this user gets no events of the collaboration")
            return
        self._waits.reset()
        self._live(True)
        try:
            while not (lost.is_set() or self._closed.is_set()):
                lost.wait(0.2)
        finally:
            self._live(False)

    def _http(self) -> requests.Session:
        http = requests.Session()
        http.trust_env = False
        http.verify = self._session.transport.verify
        http.proxies.update(self._session.transport.proxies)
        http.max_redirects = 0
        return http

    def _drop(self, client: Any) -> None:
        try:
            client.disconnect()
        except Exception as error:  # noqa: BLE001  it is gone in any case
            LOG.debug("disconnecting: %s", error)

    def _ignore(self, *_: Any) -> None:
        """Connected is not yet heard."""
