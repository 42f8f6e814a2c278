"""What a process cost that ran to its end."""

import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

LOOK_EVERY = 0.05  # s
MB = 2**20


class Cost(NamedTuple):
    """CPU seconds of the process, and the highest resident memory in MB (2^20 bytes)."""

    cpu: float
    memory: float


def cost_of(process: subprocess.Popen) -> Cost:
    """Wait for the end; sets the process's `returncode`.

    The memory is Linux's high-water mark as last looked at: `ru_maxrss` would not do, which counts
    the memory of the process that started this one, until it became another program.
    """
    memory = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return Cost(usage.ru_utime + usage.ru_stime, memory)
        memory = max(memory, _high_water(process.pid))
        time.sleep(LOOK_EVERY)


def _high_water(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0  # it has ended
