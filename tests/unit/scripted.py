"""A server on loopback that answers as it is told: for what a healthy service cannot be made to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Scripted:
    """Plays its answers in order; the last one again and again."""

    answers: list[Answer]
    url: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of each request, in order."""


def answer(status: int = 200, body: bytes = b"{}", /, **headers: str) -> Answer:
    """A plain answer; `Retry_After="1"` is the header Retry-After."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def cut(total: int, body: bytes, /, status: int = 200, **headers: str) -> Answer:
    """Promises `total` bytes, sends fewer, and hangs up."""
    return answer(status, body, **({"Content-Length": str(total)} | headers))


@contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    """Serves until the end of the block."""
    script = Scripted(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.requests.append((self.command, self.path, dict(self.headers.items())))
            play = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            play(self)

        do_GET = do_POST = handle_one  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
