"""The floor of a `foreach` step with functions: an interpreter for each item, as many at once as there are processors.

start_items.py ITEMS FILE: calls `double` in a file of this folder.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

items, file = int(sys.argv[1]), Path(sys.argv[2])
CALL = f"import json, sys, {file.stem}; print(json.dumps({file.stem}.double(**json.load(sys.stdin))))"


def start(item):
    command = [sys.executable, "-c", CALL]
    done = subprocess.run(command, input=json.dumps({"x": item}), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


with ThreadPoolExecutor(os.cpu_count()) as pool:
    print(sum(pool.map(start, range(items))))
