"""Whether the stage in this container is well: exit code 0, or 1 and the reason.

Run by the container's health check. A stage that serves metrics is asked at /healthz and /readyz;
of one that does not it is enough that it runs.

    python -m erp.health_check
"""

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

FIRST_PROCESS = Path("/proc/1/cmdline")  # what the container was told to run
SECONDS = 3  # bound on each answer


def problem(command: list[str]) -> str | None:
    """What is wrong with the stage that this command runs, None where nothing is."""
    port = re.search(r"--metrics-port[= ](\d+)", " ".join(command))
    if port is None:
        return None
    for page in ("healthz", "readyz"):
        address = f"http://127.0.0.1:{port[1]}/{page}"
        try:
            urllib.request.urlopen(address, timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            return f"{page}: {error.read().decode(errors='replace').strip()}"
        except OSError as error:
            return f"{page}: {error}"
    return None


def main() -> int:
    """Look at the container's first process and ask it."""
    found = problem(FIRST_PROCESS.read_text(errors="replace").split("\0"))
    if found:
        print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
