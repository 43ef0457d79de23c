"""A job, as the client gives it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import httpx
from pydantic import Field

from sieve.errors import JobUnsuccessful, ServerFailed, WaitTimeout
from sieve.notebook.cards import job_card
from sieve.objects import Artifact, Child, Dataset, Event, Model, Progress, Shareable, StatusReason

if TYPE_CHECKING:
    from sieve.transport import Progress as Told

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "skipped"})
LONGEST_POLL = 30.0
"""Seconds that one request waits for a job to end."""
LATE = 30.0
"""Seconds after its time at which the answer to such a request is given up."""
SILENCE = 60.0
"""Seconds without even a heartbeat after which an event stream is opened anew."""
PATIENCE = 300.0
"""Seconds that who waits for a job waits for a server that is away, such as for an upgrade."""


class Job(Shareable):
    """A job: what was asked, where it stands, what came of it. `refresh()` and whatever waits bring it up to date."""

    kind: str
    name: str = ""
    state: str
    status_reason: StatusReason | None = None
    progress: Progress | None = None
    spec: dict[str, Any] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    priority: int = 0
    attention: str | None = None
    """Why somebody should have a look at it, such as that it makes no progress."""
    owner: str = ""
    study: str | None = None
    node: str | None = None
    shard_of: str | None = None
    """The job that this one does a share of."""
    children: list[Child] = Field(default_factory=list)
    """Of a study: its jobs in short; of a job that was shared out: its shares."""
    result: dict[str, Any] | None = None
    """The figures; see `GET /v1/kinds`."""
    outputs: dict[str, str] = Field(default_factory=dict)
    """What it made: {"model": "mdl_…"} or {"dataset": "ds_…"}."""
    state_history: list[dict[str, Any]] = Field(default_factory=list)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        running = self.state == "running" and self.progress
        percent = f" {self.progress.fraction:.0%}" if running and self.progress else ""
        return f"<Job {self.id} {self.kind}{name} {self.state}{percent}>"

    def _repr_html_(self) -> str:
        return job_card(self)

    _collection: ClassVar[str] = "jobs"

    @property
    def done(self) -> bool:
        """Has it ended, well or not?"""
        return self.state in TERMINAL

    @property
    def succeeded(self) -> bool:
        """Has it ended well?"""
        return self.state == "succeeded"

    def refresh(self, *, patience: float = 0) -> Self:
        """Ask the server again; one that is away is waited for as long as `patience` says, in seconds."""
        return self._updated(self._client.transport.json("GET", f"/v1/jobs/{self.id}", patience=patience))

    def cancel(self) -> Self:
        """Ask for its end; of a study, for that of all its jobs."""
        return self._asked("cancel")

    def pause(self) -> Self:
        """Let it stop at its next checkpoint."""
        return self._asked("pause")

    def resume(self) -> Self:
        """Let it go on from its checkpoint."""
        return self._asked("resume")

    def retry(self) -> Self:
        """Queue it again after it failed or was cancelled."""
        return self._asked("retry")

    def amend(self, *, name: str | None = None, labels: Mapping[str, str] | None = None) -> Self:
        """Give it another name, or other labels in place of all that it has."""
        asked = {"name": name, "labels": None if labels is None else dict(labels)}
        return self._changed({key: value for key, value in asked.items() if value is not None})

    def delete(self) -> None:
        """Forget it, once it has ended, with all that it made; of a study, all its jobs."""
        self._client.transport.ask("DELETE", f"/v1/jobs/{self.id}")

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Self:
        """Wait until it has ended.

        Args:
            timeout: seconds; None waits for ever.
            check: raise where it did not succeed.

        Raises:
            JobUnsuccessful: it ended otherwise.
            WaitTimeout: it has not ended in time. It goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self.done:
            left = LONGEST_POLL if until is None else min(LONGEST_POLL, until - time.monotonic())
            if left <= 0:
                raise WaitTimeout(self, timeout or 0)
            if left < 1:  # less than the server can be asked to wait
                time.sleep(left)
            prefer = {"Prefer": f"wait={left:.0f}"} if left >= 1 else None
            told = {"headers": prefer, "timeout": left + LATE, "patience": PATIENCE if until is None else left}
            self._updated(self._client.transport.json("GET", f"/v1/jobs/{self.id}", **told))
        if check and not self.succeeded:
            raise JobUnsuccessful(self)
        return self

    def stream(self, *, after: int = 0) -> Iterator[Event]:
        """Its events as they happen, from the one after `after`, until it has ended. Survives lost connections."""
        patience = self._client.transport.patience(PATIENCE)
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
            try:
                with self._client.transport.stream(f"/v1/jobs/{self.id}/events", headers=headers, timeout=SILENCE) as r:
                    for kind, values in _server_sent(r.iter_lines(), patience.moved):
                        if kind == "end":
                            self._updated({"state": values["state"]})
                            return
                        event = Event.model_validate(values)
                        if event.id > after:  # a proxy may have repeated it
                            after = event.id
                            yield event
                failure: Exception = httpx.RemoteProtocolError("the stream ended before the job did")
            except (httpx.TransportError, ServerFailed, ValueError) as error:
                failure = error
            patience.pause(failure)

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """What has happened to it until now, from the event after `after`; turns its own pages."""
        while True:
            page = self._client.transport.json("GET", f"/v1/jobs/{self.id}/events", params={"after": after})
            yield from (Event._of(self._client, values) for values in page["data"])
            if not page["data"]:
                return
            after = page["data"][-1]["id"]

    def artifacts(self) -> list[Artifact]:
        """The files that it made; of a study, those of all its jobs."""
        page = self._client.transport.json("GET", f"/v1/jobs/{self.id}/artifacts")
        return [Artifact._of(self._client, values) for values in page["data"]]

    def model(self) -> Model:
        """The model that it made. Raises `ValueError` where it made none, or none yet."""
        return self._client.model(self._made("model"))  # type: ignore[no-any-return]

    def dataset(self) -> Dataset:
        """The dataset that it made. Raises `ValueError` where it made none, or none yet."""
        return self._client.dataset(self._made("dataset"))  # type: ignore[no-any-return]

    def metrics(self, *names: str, points: int = 1000) -> dict[str, list[tuple[int, float]]]:
        """Its curves, by name: (step, value), thinned out to about `points` each; all of them without names."""
        params = {"name": list(names) or None, "points": points}
        curves = self._client.transport.json("GET", f"/v1/jobs/{self.id}/metrics", params=params)["metrics"]
        return {name: [(step, float(value)) for step, value in curve] for name, curve in curves.items()}

    def logs(self) -> list[str]:
        """The lines of its log."""
        text: str = self._client.transport.ask("GET", f"/v1/jobs/{self.id}/logs").text
        return text.splitlines()

    def report(self, format: Literal["json", "md", "html"] = "json") -> Any:
        """A study's report: a dict as `json`, else text."""
        return self._client.report(self.id, format)

    def download(self, path: str | Path = ".", *, progress: Told | None = None) -> list[Path]:
        """Fetch all its artifacts into a folder."""
        return [file.download(Path(path, self.path_of(file)), progress=progress) for file in self.artifacts()]

    @property
    def is_study(self) -> bool:
        """Is it only its children, of which the last makes a report?"""
        return self.kind == "study" or any(child.node == "report" for child in self.children)

    def path_of(self, artifact: Artifact) -> str:
        """Where an artifact belongs in a download: those of a study's jobs each in a folder of the job's name."""
        return f"{artifact.node}/{artifact.name}" if self.is_study and artifact.node else artifact.name

    def _made(self, what: str) -> str:
        if what not in self.outputs:
            raise ValueError(f"{self.id} ({self.kind}, {self.state}) has made no {what}")
        return self.outputs[what]

    def _asked(self, verb: str) -> Self:
        return self._updated(self._client.transport.json("POST", f"/v1/jobs/{self.id}/{verb}"))


def _server_sent(lines: Iterator[str], alive: Callable[[], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event, data) of each message of an event stream; comments are skipped. `alive` is told of every line."""
    kind, data = "message", ""
    for line in lines:
        alive()
        if not line:
            if data:
                yield kind, json.loads(data)
            kind, data = "message", ""
        elif line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
