"""Run a script and write down what it asks MongoDB: `command_log.py FILE SCRIPT ARGUMENTS...`."""

import json
import runpy
import sys
from pathlib import Path

from pymongo import monitoring

ROOT = Path(__file__).resolve().parent.parent
HANDSHAKE = {"ping", "endSessions", "hello", "isMaster", "ismaster"}  # need no right


class CommandLog(monitoring.CommandListener):
    """Each different command once, as [name, collection, upsert, stages that write]."""

    def __init__(self):
        self.seen = set()

    def started(self, event):
        name, command = event.command_name, event.command
        if name in HANDSHAKE:
            return
        upsert = bool(command.get("upsert")) or any(
            update.get("upsert") for update in command.get("updates", ())
        )
        stages = [
            target
            for stage in command.get("pipeline", ())
            for operator, target in stage.items()
            if operator in ("$out", "$merge")
        ]
        collection = command.get("collection") if name == "getMore" else command[name]
        self.seen.add(json.dumps([name, collection, upsert, stages], default=str))

    def succeeded(self, event):
        """Nothing more is learned."""

    def failed(self, event):
        """Nothing more is learned."""


if __name__ == "__main__":
    _, file, script, *arguments = sys.argv
    log = CommandLog()
    monitoring.register(log)
    sys.path[0] = str(ROOT)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    finally:
        Path(file).write_text("\n".join(sorted(log.seen)))
