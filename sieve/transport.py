"""HTTP as the client speaks it: keys, retries with jitter, problems as errors, downloads that resume."""

from __future__ import annotations

import email.utils
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from sieve import __version__
from sieve.config import Config
from sieve.errors import ApiError, DownloadDamaged, ServerUnreachable

TRIES = 4
LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for more is not waited for any longer."""
_TRY_AGAIN = frozenset({429, 502, 503, 504})

Progress = Callable[[int, int], None]
"""Told the bytes that are there and the bytes there will be."""


class Transport:
    """A server, reached with a key. Every request may be repeated: a POST carries an idempotency key."""

    def __init__(self, config: Config, *, timeout: float = 30.0) -> None:
        """`timeout`: seconds without a byte after which a try is given up."""
        self.config = config
        headers = {"User-Agent": f"feature-sieve/{__version__}", "Accept": "application/json"}
        if config.key:
            headers["Authorization"] = f"Bearer {config.key}"
        self._http = httpx.Client(
            base_url=config.url, headers=headers, timeout=httpx.Timeout(timeout, connect=5.0), follow_redirects=True
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The JSON that the server answers with."""
        return self.ask(method, path, params=params, body=body, headers=headers, timeout=timeout).json()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """One answer, read whole. `body` is sent as JSON, `content` as it is.

        Raises:
            ApiError: the server answered with a problem.
            ServerUnreachable: it did not answer.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        extra: dict[str, Any] = {} if timeout is None else {"timeout": httpx.Timeout(timeout, connect=5.0)}
        if body is not None:
            extra["json"] = body
        if content is not None:
            extra["content"] = content
        params = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(TRIES):
            try:
                response = self._http.request(method, path, params=params, headers=sent, **extra)
            except httpx.TransportError as error:
                self.pause(attempt, error)
                continue
            if response.status_code not in _TRY_AGAIN or attempt == TRIES - 1:
                return _checked(response)
            time.sleep(_asked_pause(response, attempt))
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], timeout: float | None = None
    ) -> Iterator[httpx.Response]:
        """One try at an answer that is read as it comes. Transport errors of httpx pass through."""
        extra: dict[str, Any] = {} if timeout is None else {"timeout": httpx.Timeout(timeout, connect=5.0)}
        with self._http.stream("GET", path, headers=dict(headers), **extra) as response:
            if response.status_code >= 400:
                response.read()
            yield _checked(response)

    def download(self, path: str, target: Path, *, sha256: str, progress: Progress | None = None) -> Path:
        """Fetch a file through `target` + `.part`, which a later try goes on from, and check its sha256.

        Nothing is fetched where `target` is already that file.

        Raises:
            DownloadDamaged: the checksum differs; the part is removed.
            ApiError, ServerUnreachable: as `ask`.
        """
        if target.is_file() and _sha256(target) == sha256:
            return target
        part = target.with_name(target.name + ".part")
        resumed = part.exists()
        while not self._fetched(path, part, sha256, progress):
            part.unlink()
            if not resumed:
                raise DownloadDamaged(f"{target.name} arrived damaged: its sha256 is not {sha256}")
            resumed = False  # the part may have been of another file: once more, from the beginning
        os.replace(part, target)
        return target

    def _fetched(self, path: str, part: Path, sha256: str, progress: Progress | None) -> bool:
        """Complete `part`; is it what was asked for?"""
        attempt = 0
        while True:
            before = _size(part)
            try:
                pause = self._fetch(path, part, sha256, progress, last=attempt >= TRIES - 1)
            except httpx.TransportError as error:
                if _size(part) > before:
                    attempt = 0  # it moves, and as long as it does there is hope
                self.pause(attempt, error)
            else:
                if pause is None:
                    return _sha256(part) == sha256
                time.sleep(pause)
            attempt += 1

    def _fetch(self, path: str, part: Path, sha256: str, progress: Progress | None, *, last: bool) -> float | None:
        """One try at what is missing of a file. None when it has come, or the seconds to wait before the next try."""
        there = _size(part)
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if there:
            headers |= {"Range": f"bytes={there}-", "If-Range": f'"{sha256}"'}
        with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code in _TRY_AGAIN and not last:
                return _asked_pause(response, 0)
            if response.status_code == 416:  # nothing is missing, or the part is of something else
                return None
            if response.status_code >= 400:
                response.read()
            goes_on = _checked(response).status_code == 206
            there = there if goes_on else 0
            total = there + int(response.headers["Content-Length"])
            with part.open("ab" if goes_on else "wb") as file:
                for chunk in response.iter_raw():  # as it comes: a chunk size would hold back, and lose, the last bytes
                    file.write(chunk)
                    there += len(chunk)
                    if progress is not None:
                        progress(there, total)
        return None

    def pause(self, attempt: int, error: Exception) -> None:
        """Sleep before the next try; after the last one raise `ServerUnreachable`."""
        if attempt >= TRIES - 1:
            raise ServerUnreachable(f"{self.config.url} does not answer: {error}") from error
        time.sleep(_pause(attempt))


def _checked(response: httpx.Response) -> httpx.Response:
    if response.status_code < 400:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    raise ApiError.of(response.status_code, problem)


def _pause(attempt: int) -> float:
    """Seconds before the next try: 0.5, 1, 2, ... less up to half of it, so that clients do not come back together."""
    return 0.5 * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - jitter keeps no secret


def _asked_pause(response: httpx.Response, attempt: int) -> float:
    """What `Retry-After` asks for, in seconds or as a date, or else our own."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), LONGEST_PAUSE)
    try:
        until = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return _pause(attempt)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
