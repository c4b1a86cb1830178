"""Run a command and print its cost; small itself, because its own memory counts as the command's."""

import json
import os
import sys
import time

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes

command = sys.argv[1:]
files = [
    (os.POSIX_SPAWN_OPEN, descriptor, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, name in ((1, "stdout"), (2, "stderr"))
]
began = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
_, status, usage = os.wait4(pid, 0)
told = {
    "wall": time.perf_counter() - began,
    "cpu": usage.ru_utime + usage.ru_stime,
    "memory": usage.ru_maxrss * MAXRSS_UNIT / 2**20,
    "exit_code": os.waitstatus_to_exitcode(status),
}
json.dump(told, sys.stdout)
