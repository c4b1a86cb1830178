"""The chain of steps in `official.json` with the official client, as in its documentation."""

import json
import sys
from pathlib import Path

from vantage6.client import UserClient

given = json.loads(Path("official.json").read_text(encoding="utf-8"))
client = UserClient("http://127.0.0.1", given["port"], "/api", log_level="warn")
client.authenticate(given["username"], given["password"])
client.setup_encryption(None)
value = 1
for step in range(given["steps"]):
    task = client.task.create(
        collaboration=given["collaboration"],
        organizations=given["organizations"],
        name=f"s{step}",
        image=given["image"],
        description="",
        input_={"method": "echo", "kwargs": {"value": value}},
        databases=[],
    )
    results = client.wait_for_results(task["id"])
    answers = [json.loads(each["result"]) for each in results["data"]]
    value = sum(answers)
print(file=sys.stderr)
print()
print(json.dumps(answers))
