"""HTTP as the client speaks it: keys, retries with jitter, problems as errors, downloads that resume."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from sieve import __version__
from sieve.config import Config
from sieve.errors import ApiError, ServerUnreachable
from sieve.fetching import Progress, fetch
from sieve.patience import TRIES, Patience, said

__all__ = ["Progress", "Transport"]

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


class Transport:
    """A server, reached with a key. Every request may be repeated: a POST carries an idempotency key."""

    def __init__(self, config: Config, *, timeout: float = 30.0, tries: int = TRIES) -> None:
        """`timeout`: seconds without a byte after which a try is given up. `tries`: at one request, at the most."""
        self.config = config
        self._tries = tries
        headers = {"User-Agent": f"feature-sieve/{__version__}", "Accept": "application/json"}
        if config.key:
            headers["Authorization"] = f"Bearer {config.key}"
        self._http = httpx.Client(
            base_url=config.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=5.0),
            follow_redirects=True,
            trust_env=urlsplit(config.url).hostname not in _HERE,  # no proxy that the environment names leads here
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
        patience: float = 0,
    ) -> Any:
        """The JSON that the server answers with."""
        asked = {"params": params, "body": body, "headers": headers, "timeout": timeout, "patience": patience}
        return self.ask(method, path, **asked, whole_json=True).json()

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
        patience: float = 0,
        whole_json: bool = False,
        again: bool = True,
    ) -> httpx.Response:
        """One answer, read whole. `body` is sent as JSON, `content` as it is.

        Args:
            timeout: seconds without a byte after which a try is given up, where it is not the client's own.
            patience: seconds that a server which is away is waited for; at least a few tries are made.
            whole_json: an answer that is no JSON, such as one that was cut short, counts as none.
            again: where the connection is lost, ask once more; else that is for the caller to see to.

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
        tries = self.patience(patience)
        while True:
            try:
                response = checked(self._http.request(method, path, params=params, headers=sent, **extra))
                if whole_json:
                    response.json()
            except (httpx.TransportError, httpx.DecodingError, ValueError) as error:
                if not again:
                    raise ServerUnreachable(f"{self.config.url} does not answer: {said(error)}") from error
                tries.pause(error)
            except ApiError as error:
                if not error.temporary:
                    raise
                if error.in_flight:
                    tries.moved()  # it is being worked on
                tries.pause(error)
            else:
                return response

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], timeout: float | None = None
    ) -> Iterator[httpx.Response]:
        """One try at an answer that is read as it comes. Transport errors of httpx pass through."""
        extra: dict[str, Any] = {} if timeout is None else {"timeout": httpx.Timeout(timeout, connect=5.0)}
        with self._http.stream("GET", path, headers=dict(headers), **extra) as response:
            if response.status_code >= 400:
                response.read()
            yield checked(response)

    def download(self, path: str, target: Path, *, sha256: str, progress: Progress | None = None) -> Path:
        """Fetch a file, see `sieve.fetching.fetch`."""
        return fetch(self, path, target, sha256=sha256, progress=progress)

    def patience(self, seconds: float = 0) -> Patience:
        """What to be patient with this server with."""
        return Patience(self.config.url, seconds, self._tries)


def checked(response: httpx.Response) -> httpx.Response:
    """The response, or the problem that it is."""
    if response.status_code < 400:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    raise ApiError.of(response.status_code, problem, retry_after=response.headers.get("Retry-After"))
