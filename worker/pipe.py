"""JSON lines over a socket: how a slot and its child speak. NaN and infinities pass."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

Message = dict[str, Any]


class Closed(Exception):
    """The other side has gone."""


class Pipe:
    """One end of a connected stream socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._rest = b""
        self._ready: list[Message] = []

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message. Raises `Closed`."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Closed from error

    def poll(self, timeout: float | None = 0) -> Message | None:
        """The next message if one comes within `timeout` seconds (None: for ever), else None. Raises `Closed`."""
        while not self._ready:
            readable, _, _ = select.select([self._socket], [], [], timeout)
            if not readable:
                return None
            try:
                received = self._socket.recv(1 << 16)
            except ConnectionResetError:
                received = b""
            if not received:
                raise Closed
            *lines, self._rest = (self._rest + received).split(b"\n")
            self._ready += [json.loads(line) for line in lines]
        return self._ready.pop(0)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
