"""Waits for the tasks of `official.json` with the official client, one thread each; prints `ready` when all wait."""

import json
import threading
from pathlib import Path

from vantage6.client import UserClient

given = json.loads(Path("official.json").read_text(encoding="utf-8"))
client = UserClient("http://127.0.0.1", given["port"], "/api", log_level="warn")
client.authenticate(given["username"], given["password"])
client.setup_encryption(None)
threads = [threading.Thread(target=client.wait_for_results, args=(task,)) for task in given["tasks"]]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
