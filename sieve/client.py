"""The Python client.

>>> client = Client()                                    # address and key: arguments > environment > file
>>> job = client.submit(StudySpec(preset="digits"), name="first try")
>>> job.wait().report()["rows"]
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

from sieve.account import Account, segment
from sieve.config import find_config
from sieve.job import Job
from sieve.objects import Dataset, Model, Record
from sieve.patience import TRIES
from sieve.reproducing import Reproduction, begin, compare
from sieve.sending import as_file, send
from sieve.specs import Spec
from sieve.transport import Progress, Transport

RecordT = TypeVar("RecordT", bound=Record)


class Client(Account):
    """A Feature Sieve server. Use as a context manager, or `close()` it."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout: float = 30.0, tries: int = TRIES
    ) -> None:
        """Address and key: given here, or `SIEVE_URL` and `SIEVE_API_KEY`, or the file that `sieve login` writes.

        Args:
            timeout: seconds without a byte after which a try is given up.
            tries: how often a request is sent, at the most, while no answer comes or the server cannot.

        Raises:
            ConfigurationError: no place names an address.
        """
        self.transport = Transport(find_config(url, key), timeout=timeout, tries=tries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.transport.config.url}>"

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()

    def submit(
        self,
        spec: Spec | Mapping[str, Any],
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int = 0,
        max_queue_time: float | None = None,
        max_run_time: float | None = None,
        shards: int | Literal["auto"] = 1,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job.

        Args:
            spec: what to do, such as `StudySpec(preset="digits")`, or its JSON values with `kind`.
            name: for people.
            labels: to find it by.
            priority: -1 low (may be paused for a short job of high priority), 0 normal, 1 high.
            max_queue_time: seconds; it is cancelled if it has not started this long after it could.
            max_run_time: seconds; it fails once it has run for this long.
            shards: among how many jobs to share out a synthesis or an evaluation, of a study each of them; `auto`: one
                a slot, where it is large. The result is the same.
            idempotency_key: the same key and spec give the same job; drawn where it is not given.

        Raises:
            Refused: a field is wrong; nothing was made.
        """
        beside = {"name": name, "labels": dict(labels or {}), "priority": priority}
        beside |= {"max_queue_time": max_queue_time, "max_run_time": max_run_time}
        body = _values(spec) | {key: value for key, value in beside.items() if value}
        if shards != 1:
            body["shards"] = shards
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return Job._of(self, self.transport.json("POST", "/v1/jobs", body=body, headers=headers))

    def plan(self, spec: Spec | Mapping[str, Any], *, wait: float = 0) -> dict[str, Any]:
        """Have a spec checked; see the jobs that it would make, and what they would take. Makes none.

        Args:
            spec: as for `submit`.
            wait: seconds to wait for a network that the server has to measure first, before the estimate is complete.
        """
        until = time.monotonic() + wait
        while True:
            plan: dict[str, Any] = self.transport.json("POST", "/v1/jobs", params={"dry_run": True}, body=_values(spec))
            if not plan["estimate"]["pending"] or time.monotonic() >= until:
                return plan
            time.sleep(0.5)

    def job(self, job_id: str) -> Job:
        """A job by its id."""
        return Job._of(self, self.transport.json("GET", f"/v1/jobs/{segment(job_id)}"))

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        label: str | None = None,
        study: str | None = None,
        shared: bool = False,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Jobs, newest first, in short (`refresh()` gives the whole); asks for further pages as they are needed.

        Args:
            state: such as `running`; several with commas between.
            kind: such as `train`; several with commas between.
            owner: name of a user; admins see everybody's.
            label: `key=value`.
            study: id of the study that they are part of; `none` for jobs that are in none.
            shared: what anybody shares with the lab, instead of your own.
            created_after: at this time or later; with its time zone.
            created_before: before this time; with its time zone.
            limit: at most this many.
        """
        params: dict[str, Any] = {"state": state, "kind": kind, "owner": owner, "label": label, "study": study}
        times = {"created_after": created_after, "created_before": created_before}
        params |= {name: time.isoformat() for name, time in times.items() if time is not None}
        params |= {"shared": True} if shared else {}
        return self._pages(Job, "/v1/jobs", params, limit)

    def datasets(self, *, limit: int | None = None) -> Iterator[Dataset]:
        """Datasets that jobs can name: built-in ones, registered folders, what jobs made (newest first)."""
        return self._pages(Dataset, "/v1/datasets", {}, limit)

    def dataset(self, name: str) -> Dataset:
        """A dataset by its name or id."""
        return Dataset._of(self, self.transport.json("GET", f"/v1/datasets/{segment(name)}"))

    def upload(self, path: str | Path, *, progress: Progress | None = None) -> str:
        """Send an image folder (or a zip or tar of one), a parquet, npz or safetensors file.

        Returns:
            The id of the upload, `upl_…`, for a job of kind `ingest`; see `ingest`.
        """
        with as_file(Path(path)) as file:
            return send(self.transport, file, progress)

    def forget_upload(self, upload_id: str) -> None:
        """Forget a file that was sent, wholly or in part. Datasets that were made of it stay."""
        self.transport.ask("DELETE", f"/v1/uploads/{segment(upload_id)}")

    def ingest(
        self,
        path: str | Path,
        *,
        size: tuple[int, int] | None = None,
        test_fraction: float = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Job:
        """Send a file or folder and have a dataset made of it; what the arguments mean says `IngestSpec`.

        Returns:
            The job. When it has succeeded, `outputs["dataset"]` names the dataset.
        """
        upload = self.upload(path, progress=progress)
        how = {"size": size, "test_fraction": test_fraction, "seed": seed}
        return self.submit({"kind": "ingest", "upload": upload, **how}, name=Path(path).name)

    def ingest_model(
        self,
        path: str | Path,
        *,
        architecture: str | Mapping[str, Any] | None = None,
        dataset: str | Mapping[str, Any] | None = None,
        shape: tuple[int, int, int] | None = None,
        classes: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Send weights (safetensors) and have a model made of them; what the arguments mean says `IngestModelSpec`.

        Returns:
            The job. When it has succeeded, `outputs["model"]` names the model.
        """
        how: dict[str, Any] = {"architecture": architecture, "dataset": dataset, "shape": shape, "classes": classes}
        how |= {"mean": None if mean is None else list(mean), "std": None if std is None else list(std)}
        given = {name: value for name, value in how.items() if value is not None}
        upload = self.upload(path, progress=progress)
        return self.submit({"kind": "ingest_model", "upload": upload, **given}, name=Path(path).name)

    def models(self, *, limit: int | None = None) -> Iterator[Model]:
        """Trained models, newest first."""
        return self._pages(Model, "/v1/models", {}, limit)

    def model(self, model_id: str) -> Model:
        """A model by its id."""
        return Model._of(self, self.transport.json("GET", f"/v1/models/{segment(model_id)}"))

    def reproduce(self, made: str, *, timeout: float | None = None) -> Reproduction:
        """Make a dataset (`ds_…`) or model (`mdl_…`) once more from its spec, wait, and compare hash and figures.

        Raises:
            NothingToReproduce: no job made it.
            Refused: something that it was made of is gone.
            JobUnsuccessful, WaitTimeout: as `Job.wait`.
        """
        return compare(self, made, begin(self, made).wait(timeout))

    def report(self, job: Job | str, format: Literal["json", "md", "html"] = "json") -> Any:
        """A study's report: a dict as `json`, else text."""
        job_id = job if isinstance(job, str) else job.id
        response = self.transport.ask("GET", f"/v1/jobs/{segment(job_id)}/report", params={"format": format})
        return response.json() if format == "json" else response.text

    def queue(self) -> list[dict[str, Any]]:
        """Every waiting job: its place, what is ahead, and why it waits."""
        return list(self.transport.json("GET", "/v1/queue")["data"])

    def slots(self) -> list[dict[str, Any]]:
        """Every slot of every living worker: what runs there, how its GPU is, and why it takes nothing."""
        return list(self.transport.json("GET", "/v1/slots")["data"])

    def hold(self, host: str, slot: str = "", *, drain: bool = False, reason: str = "") -> list[dict[str, Any]]:
        """Keep a host, or one slot of it, from taking new work. For admins. Gives all holds.

        Args:
            drain: what runs there stops at its next checkpoint and goes on elsewhere; else it runs to its end.
            reason: shown to everybody.
        """
        body = {"host": host, "slot": slot, "drain": drain, "reason": reason}
        return list(self.transport.json("POST", "/v1/slots/hold", body=body)["data"])

    def release(self, host: str, slot: str = "") -> list[dict[str, Any]]:
        """Let a host, or one slot of it, take work again. For admins. Gives the holds that are left."""
        return list(self.transport.json("POST", "/v1/slots/release", body={"host": host, "slot": slot})["data"])

    def presets(self, kind: str = "study") -> dict[str, dict[str, Any]]:
        """Presets of a study by name: what each is for, and its fields. `kind` may be a follow-up: `transfer`."""
        presets = self.transport.json("GET", "/v1/presets")["data"]
        return {preset["name"]: preset for preset in presets if preset["kind"] == kind}

    def architectures(self) -> dict[str, dict[str, Any]]:
        """Networks that the server can build, by name: what each is, and the JSON schema of its options."""
        return {entry["name"]: entry for entry in self.transport.json("GET", "/v1/architectures")["data"]}

    def attacks(self) -> dict[str, dict[str, Any]]:
        """Attacks that evaluations can use, by name: what each is, its norms, and the JSON schema of its options."""
        return {entry["name"]: entry for entry in self.transport.json("GET", "/v1/attacks")["data"]}

    def formats(self) -> dict[str, dict[str, Any]]:
        """File formats that datasets can be downloaded in, by name."""
        return {entry["name"]: entry for entry in self.transport.json("GET", "/v1/formats")["data"]}

    def kinds(self) -> dict[str, dict[str, Any]]:
        """Kinds of job that can be submitted, by name: what each does, and the JSON schema of its spec."""
        return {entry["name"]: entry for entry in self.transport.json("GET", "/v1/kinds")["data"]}

    def _pages(
        self, record: type[RecordT], path: str, params: Mapping[str, Any], limit: int | None
    ) -> Iterator[RecordT]:
        def walk() -> Iterator[RecordT]:
            cursor = None
            while True:
                size = 100 if limit is None else min(limit, 100)
                page = self.transport.json("GET", path, params={**params, "limit": size, "cursor": cursor})
                yield from (record._of(self, values) for values in page["data"])
                cursor = page["next"]
                if cursor is None:
                    return

        return islice(walk(), limit)


def _values(spec: Spec | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON that describes a job; what was left at its default is left to the server."""
    return _given(spec, spec.model_dump(mode="json")) if isinstance(spec, Spec) else dict(spec)


def _given(spec: Spec, dumped: Mapping[str, Any]) -> dict[str, Any]:
    """Of a spec's JSON values those that were given, and those that can be nothing else: `kind`, `method`."""
    return {
        name: _inside(getattr(spec, name), dumped[name])
        for name, field in type(spec).model_fields.items()
        if name in spec.model_fields_set or _only_value(field.annotation)
    }


def _only_value(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _inside(value: Any, dumped: Any) -> Any:
    if isinstance(value, Spec):
        return _given(value, dumped)
    if isinstance(value, tuple):
        return [_inside(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped
