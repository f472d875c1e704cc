"""What a process pays before its first guarded call: the import, the guard, the first call. Each time a new process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.measure import Effort, Tick

# Everything is compiled to bytecode before it is measured.
_CHILD = """
import json, resource, sys, time
def memory():
    if sys.platform == "linux":  # what getrusage tells begins with the most that the parent process ever had
        return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
at, had = [time.process_time()], memory()
def passed():
    at.append(time.process_time())
    return at[-1] - at[-2]
from agentguard import Guard
found = {"import_s": passed(), "import_mib": memory() - had}
from agentguard.ledger import memory_ledger
directory, home, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
passed()
guard = Guard.load(directory, ledger=memory_ledger(), home=home)
found["guard_s"] = passed()
def strict(table: str, rows: int, ticket: str) -> str:
    return table
strict = guard.wrap(strict)
with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
    strict(**arguments)
    found["first_call_s"] = passed()
found["all_mib"] = memory() - had
print(json.dumps(found))
"""


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Seconds of processor time and mebibytes, the median of a few processes."""
    tick("start of a process")
    policy = write_bundle(folder / "start", 10)
    command = [sys.executable, "-c", _CHILD, str(policy), str(folder / "home-start"), json.dumps(ARGUMENTS)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(1 + effort.rounds)][1:]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
