"""A MongoDB that refuses to write for now: a proxy that answers in the place of the real one.

The embedded server knows neither users nor replica sets, so that this fault can't be had otherwise.
The messages: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

import socketserver
import struct
import threading
from contextlib import suppress
from socket import SHUT_RDWR, create_connection
from typing import Any

import bson

HEADER = struct.Struct("<iiii")  # length, id, id of the question, kind
OP_MSG = 2013
WRITES = {"insert", "update", "delete", "createIndexes"}


class RefusingProxy:
    """Passes everything on, but for writes while `refusal` is an error of the server.

    Attributes
    ----------
    refusal : dict or None
        What to answer to a write, such as `{"code": 10107, "codeName": "NotWritablePrimary"}`.
    refused : int
        Writes that were answered so.
    """

    def __init__(self, host: str, port: int) -> None:
        self.refusal: dict[str, Any] | None = None
        self.refused = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with create_connection((host, port)) as server, suppress(OSError):
                    back = threading.Thread(target=pass_on, args=(server, self.request))
                    back.daemon = True
                    back.start()
                    while message := receive(self.request):
                        if answer := proxy.answer(message):
                            self.request.sendall(answer)
                        else:
                            server.sendall(message)
                    server.shutdown(SHUT_RDWR)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"mongodb://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, message: bytes) -> bytes | None:
        """The refusal of a write; None for what is to be passed on."""
        _, number, _, kind = HEADER.unpack_from(message)
        if not self.refusal or kind != OP_MSG:
            return None
        size = struct.unpack_from("<i", message, 21)[0]
        if next(iter(bson.decode(message[21 : 21 + size]))) not in WRITES:
            return None
        self.refused += 1
        document = bson.encode({"ok": 0.0, "errmsg": "refused by the test", **self.refusal})
        body = b"\0\0\0\0" + b"\0" + document  # no flags; one document
        return HEADER.pack(16 + len(body), number, number, OP_MSG) + body

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def receive(connection: Any) -> bytes:
    """One whole message; nothing at the end."""
    head = read(connection, 4)
    return head and head + read(connection, struct.unpack("<i", head)[0] - 4)


def read(connection: Any, size: int) -> bytes:
    """So many bytes; nothing at the end."""
    parts = bytearray()
    while len(parts) < size:
        if not (more := connection.recv(min(size - len(parts), 1 << 16))):
            return b""
        parts += more
    return bytes(parts)


def pass_on(source: Any, target: Any) -> None:
    """Copy what comes until the end."""
    with suppress(OSError):
        while some := source.recv(1 << 16):
            target.sendall(some)
