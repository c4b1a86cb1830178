"""Serves a real algorithm store on loopback, in the environment of `environment.py`: `serve_store.py SETTINGS`.

SETTINGS is a JSON file: {config: the store's YAML file, port, digests: image → digest}. A line `ready` on stdout
says that it listens. It ends when its stdin ends.
"""

# vantage6 carries no types, and is not installed where mypy runs:
# mypy: ignore-errors

from __future__ import annotations

import _thread
import json
import sys
from pathlib import Path

from serve import end_with_stdin, listen, mend_enums


def main() -> None:
    _thread.start_new_thread(end_with_stdin, ())  # before gevent makes threads its own
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    mend_enums()
    from gevent import monkey

    monkey.patch_all()  # as the store does, and before anything imports ssl

    from gevent.pywsgi import WSGIHandler, WSGIServer
    from vantage6.algorithm.store import run_server
    from vantage6.algorithm.store.model.base import DatabaseSessionManager
    from vantage6.algorithm.store.resource import algorithm

    class Handler(WSGIHandler):
        """Passes on the header `server_url` of vantage6's server and client, as uWSGI does where a store is at home."""

        def get_environ(self) -> dict:
            environ = super().get_environ()
            named = self.headers.get("server_url")
            if named is not None:
                environ["HTTP_SERVER_URL"] = named
            return environ

    # else it asks the image's registry
    algorithm.get_digest = lambda full_image, **_: settings["digests"].get(full_image)
    store = run_server(settings["config"], system_folders=False)
    DatabaseSessionManager.clear_session()
    server = WSGIServer(listen(settings["port"]), store.app, log=None, handler_class=Handler)
    server.start()
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
