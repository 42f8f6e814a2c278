"""A visitor of a Streamlit page without a browser: what the server alone takes for a run.

Speaks the page's WebSocket as its own front end does (streamlit/proto/*.proto).
"""

import time
from dataclasses import dataclass, field
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

PATIENCE = 120  # s that a run may take
LARGEST = 2**28  # bytes of a message


@dataclass
class Run:
    """What one run of the script, or of a fragment, took and sent."""

    seconds: float = 0.0
    bytes: int = 0
    elements: dict[str, int] = field(default_factory=dict)  # bytes by kind of element


class Visitor:
    """One session on a page; `run` the whole script, or `refresh` what refreshes by itself."""

    def __init__(self, url: str, query: str = "") -> None:
        self._query = query
        self._refreshing: dict[str, float] = {}  # fragment -> seconds between two refreshes
        self._socket = connect(
            url.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit"],
            max_size=LARGEST,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def run(self) -> Run:
        """Run the whole script, as opening the page does."""
        return self._ask()

    def refresh(self) -> Run:
        """Run the parts that the page would refresh next, the quickest of them alone."""
        soonest = min(self._refreshing.values())
        fragment = next(f for f, seconds in self._refreshing.items() if seconds == soonest)
        return self._ask(fragment_id=fragment, is_auto_rerun=True)

    def _ask(self, **state: Any) -> Run:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.context_info.timezone = "Europe/Madrid"
        message.rerun_script.context_info.locale = "es-ES"
        for name, value in state.items():
            setattr(message.rerun_script, name, value)
        run, started = Run(), time.perf_counter()
        self._socket.send(message.SerializeToString())
        while True:
            content = self._socket.recv(PATIENCE)
            answer = ForwardMsg.FromString(content)
            run.bytes += len(content)
            kind = answer.WhichOneof("type")
            if kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                element = answer.delta.new_element.WhichOneof("type")
                run.elements[element] = run.elements.get(element, 0) + len(content)
            elif kind == "new_session" and "fragment_id" not in state:
                self._refreshing.clear()
            elif kind == "auto_rerun":
                self._refreshing[answer.auto_rerun.fragment_id] = answer.auto_rerun.interval
            elif kind == "script_finished":
                if answer.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    continue
                run.seconds = time.perf_counter() - started
                return run
