"""A proxy between client and service that does what networks do: cuts, stalls, repeats, refuses, truncates, damages.

It speaks HTTP/1.1, one exchange a connection, and knows just enough of it to find where heads and bodies end.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

STALL_SECONDS = 30.0
"""Longer than any client of these tests waits."""

What = Literal[
    "none",
    "cut request",  # the server gets a part of it
    "cut answer",  # the server has done it, the client gets `after` bytes of the answer
    "refuse",  # 503 with Retry-After; the server hears nothing of it
    "refuse late",  # the same, but the server has done it
    "repeat",  # the server gets it twice; the client the second answer
    "stall",  # `after` bytes of the answer, then silence
    "truncate",  # the answer's body loses its second half, and its head says so
    "damage",  # a byte of the answer's body is another one
]


@dataclass(frozen=True)
class Fault:
    """What happens to an exchange."""

    what: What = "none"
    after: int = 0
    """Bytes that pass before it happens; of the request or of the answer."""


Plan = Callable[[str, str, int], Fault]
"""Method, path and the number of exchanges before this one."""


@dataclass
class Faulty:
    """The proxy's address, what it plans and what it did."""

    url: str
    plan: Plan
    happened: list[tuple[str, str, Fault]] = field(default_factory=list)

    def count(self, what: What) -> int:
        """How often it happened."""
        return sum(fault.what == what for _, _, fault in self.happened)


def once(*faults: Fault, of: str = ".*") -> Plan:
    """These faults in order to the exchanges whose `METHOD path` fits `of`; then none."""
    left = list(faults)

    def plan(method: str, path: str, _: int) -> Fault:
        return left.pop(0) if left and re.fullmatch(of, f"{method} {path}") else Fault()

    return plan


def storm(seed: int, *, among: tuple[What, ...], rate: float = 0.5, farthest: int = 2000) -> Plan:
    """At random; never more than three in a row, as a client's patience ends somewhere."""
    draws = random.Random(seed)
    row = [0]

    def plan(*_: object) -> Fault:
        if draws.random() > rate or row[0] == 3:
            row[0] = 0
            return Fault()
        row[0] += 1
        return Fault(draws.choice(among), draws.randrange(farthest))

    return plan


@contextmanager
def faulty(upstream: str, plan: Plan) -> Iterator[Faulty]:
    """Serves until the end of the block."""
    where = urlsplit(upstream)
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    proxy = Faulty(f"http://127.0.0.1:{listening.getsockname()[1]}", plan)
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            exchange = _Exchange(client, (where.hostname or "", where.port or 80), proxy, over)
            threading.Thread(target=exchange.run, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield proxy
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@dataclass
class _Exchange:
    client: socket.socket
    upstream: tuple[str, int]
    proxy: Faulty
    over: threading.Event

    def run(self) -> None:
        with self.client, contextlib.suppress(OSError):
            request = _request(self.client)
            if request is None:
                return
            method, path = request.split(b" ", 2)[:2]
            fault = self.proxy.plan(method.decode(), path.decode(), len(self.proxy.happened))
            self.proxy.happened.append((method.decode(), path.decode(), fault))
            self._happen(fault, request)

    def _happen(self, fault: Fault, request: bytes) -> None:
        if fault.what == "cut request":
            with socket.create_connection(self.upstream) as server:
                server.sendall(request[: min(fault.after, len(request) - 1)])
            return
        if fault.what in ("repeat", "refuse late"):
            _whole(self._ask(request))
        if fault.what in ("refuse", "refuse late"):
            self.client.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        elif fault.what in ("truncate", "damage"):
            head, _, body = _whole(self._ask(request)).partition(b"\r\n\r\n")
            if fault.what == "truncate":
                body = body[: len(body) // 2]
                head = re.sub(rb"(?i)content-length: \d+", b"Content-Length: %d" % len(body), head)
            elif body:
                at = fault.after % len(body)
                body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
            self.client.sendall(head + b"\r\n\r\n" + body)
        else:
            self._relay(self._ask(request), fault)

    def _relay(self, server: socket.socket, fault: Fault) -> None:
        """The answer as it comes, or the first bytes of it."""
        left = fault.after if fault.what in ("cut answer", "stall") else None
        with server:
            while data := server.recv(65536):
                self.client.sendall(data if left is None else data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    if fault.what == "stall":
                        self.over.wait(STALL_SECONDS)
                    return

    def _ask(self, request: bytes) -> socket.socket:
        server = socket.create_connection(self.upstream)
        server.sendall(request)
        return server


def _request(client: socket.socket) -> bytes | None:
    """Head and body, with word to the server to close the connection after its answer; None where none comes."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while length is not None and len(body) < int(length[1]):
        more = client.recv(65536)
        if not more:
            return None
        body += more
    head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)
    return head + b"\r\nConnection: close\r\n\r\n" + body


def _whole(server: socket.socket) -> bytes:
    answer = b""
    with server:
        while data := server.recv(65536):
            answer += data
    return answer
