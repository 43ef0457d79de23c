"""What the client gives beside jobs: events, artifacts, datasets, models. Made for a REPL.

Fields are read as attributes; what a newer server adds is kept in `model_extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from sieve import cache
from sieve.notebook.made import dataset_sheet, model_figures
from sieve.specs import FormatName
from sieve.tensors import Split, torch_dataset

if TYPE_CHECKING:
    from sieve.account import Account
    from sieve.job import Job
    from sieve.transport import Progress as Told


class Record(BaseModel):
    """Something that the server described."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    _client: Any = PrivateAttr(default=None)

    @classmethod
    def _of(cls, client: Account, values: Mapping[str, Any]) -> Self:
        record = cls.model_validate(values)
        record._client = client
        return record

    def __str__(self) -> str:
        return repr(self)

    def to_dict(self) -> dict[str, Any]:
        """As the server said it."""
        return self.model_dump(mode="json")

    def _updated(self, values: Mapping[str, Any]) -> Self:
        fresh = type(self).model_validate(self.model_dump() | dict(values))
        for name in fresh.model_fields_set:
            setattr(self, name, getattr(fresh, name))
        return self


class Shareable(Record):
    """What its owner can share with the lab: a job, a dataset or a model that a job made."""

    id: str
    shared: bool = False
    """May everybody in the lab look at it and use it?"""

    _collection: ClassVar[str]

    @property
    def _path(self) -> str:
        return f"/v1/{self._collection}/{self.id}"

    def share(self) -> Self:
        """Let everybody in the lab look at it and use it; a job with all that it made and will make."""
        return self._changed({"shared": True})

    def unshare(self) -> Self:
        """Keep it to yourself again."""
        return self._changed({"shared": False})

    def _changed(self, body: Mapping[str, Any]) -> Self:
        return self._updated(self._client.transport.json("PATCH", self._path, body=body))


class Link(Record):
    """A download that needs no key, for a while."""

    url: str
    """Whoever has it can download until it expires, or until the key that it was made with ends."""
    expires_at: datetime

    def __repr__(self) -> str:
        return f"<Link until {self.expires_at:%Y-%m-%d %H:%M:%S %Z}>"


class StatusReason(Record):
    """Why a job is in its state."""

    code: str = ""
    message: str = ""
    retryable: bool = False


class Progress(Record):
    """How far a job is, in its own unit; of a study, in hundredths of its jobs."""

    phase: str = ""
    step: int = 0
    total: int = 0
    eta_seconds: float | None = None

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(self.step / self.total, 1.0) if self.total else 0.0


class Event(Record):
    """Something that happened to a job: `state`, `progress`, `log`, `checkpoint`, `resumed`."""

    id: int
    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    at: datetime | None = None

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.type} {self.data}>"


class Child(Record):
    """One job of a study, in short."""

    id: str
    kind: str
    node: str | None = None
    """Its name in the study's graph, such as `0/train/D_adv`."""
    state: str
    progress: Progress | None = None

    def __repr__(self) -> str:
        return f"<Child {self.id} {self.node} {self.state}>"


class Artifact(Record):
    """A file that a job made."""

    id: str
    job: str
    node: str | None = None
    """The job's name in its study's graph, such as `0/synthesize/D_R`."""
    name: str
    role: str
    """`model`, `dataset`, `report`, `picture` or `data`."""
    media_type: str
    sha256: str
    size: int

    def __repr__(self) -> str:
        return f"<Artifact {self.id} {self.name!r} {self.size:,} bytes>"

    def download(self, path: str | Path = ".", *, progress: Told | None = None) -> Path:
        """Fetch it into a folder, or under a file name. Goes on from an earlier try's `.part`; checks the sha256."""
        return _fetch(
            self._client, f"/v1/artifacts/{self.id}", path, name=self.name, sha256=self.sha256, progress=progress
        )

    def link(self, *, seconds: int = 3600) -> Link:
        """A link to it for whoever has no key, good for at most a day."""
        return _link(self._client, f"/v1/artifacts/{self.id}", {"seconds": seconds})


class Dataset(Shareable):
    """A dataset that jobs can name."""

    source: Literal["built-in", "folder", "job"]
    shape: tuple[int, int, int]
    """Channels, height, width."""
    classes: tuple[str, ...]
    train_images: int | None = None
    test_images: int | None = None
    summary: str = ""
    job: str | None = None
    sha256: str | None = None
    size: int | None = None

    def __repr__(self) -> str:
        made = f" by {self.job}" if self.job else ""
        return f"<Dataset {self.id} {self.source}{made} {'x'.join(map(str, self.shape))}, {len(self.classes)} classes>"

    _collection: ClassVar[str] = "datasets"

    def lineage(self) -> dict[str, Any]:
        """Where it comes from: `nodes`, itself first, each with job, spec, seed, hashes and versions."""
        return _lineage(self._client, self._path)

    def link(self, *, format: FormatName = "safetensors", seconds: int = 3600) -> Link:
        """A link to its file for whoever has no key, good for at most a day. See `export` for other formats."""
        return _link(self._client, self._path, {"format": format, "seconds": seconds})

    def export(self, format: FormatName) -> Job:
        """Have it written in another file format; the job that does so, or did before."""
        from sieve.job import Job  # noqa: PLC0415 - jobs are made of what is here

        made = self._client.transport.json("POST", f"/v1/datasets/{self.id}/exports", body={"format": format})
        return Job._of(self._client, made)

    def download(
        self, path: str | Path = ".", *, format: FormatName = "safetensors", progress: Told | None = None
    ) -> Path:
        """Fetch it; in other formats than safetensors it may have to be exported first, which is waited for.

        Only what a job made can be downloaded.
        """
        if format != "safetensors":
            (file,) = [file for file in self.export(format).wait().artifacts() if file.role == "data"]
            return file.download(path, progress=progress)
        if self.sha256 is None:
            raise ValueError(f"{self.id} is {self.source}, no file: only what a job made can be downloaded")
        url = f"/v1/datasets/{self.id}/download?format=safetensors"
        name = f"{self.id}.safetensors"
        return _fetch(self._client, url, path, name=name, sha256=self.sha256, progress=progress)

    def to_torch(
        self,
        split: Split = "train",
        *,
        transform: Callable[[Any], Any] | None = None,
        progress: Told | None = None,
    ) -> Any:
        """A `torch.utils.data.Dataset` of (image, label): float32 [C, H, W] in [0, 1], and an int.

        Its `images` [n, C, H, W], `labels`, `classes` and `columns` are all there in memory. The file is fetched once:
        what was downloaded before, by this or by `download`, is read where it lies, after its sha256 was checked.

        Args:
            split: `train`, or `test` where the dataset has images for it.
            transform: applied to an image when it is taken.

        Raises:
            ConfigurationError: torch or safetensors is not installed here.
            ValueError: it has no file, or no images of this split.
        """
        path = cache.find(self.sha256) if self.sha256 is not None else None
        if path is None:
            target = cache.cached_path(self.sha256 or "")
            target.unlink(missing_ok=True)  # it points at a file that is gone, or another one now
            path = self.download(target, progress=progress)
        return torch_dataset(path, split, transform)

    def picture(self) -> bytes | None:
        """The PNG that its job left of some of its images; None for what no job made."""
        if self.job is None:
            return None
        page = self._client.transport.json("GET", f"/v1/jobs/{self.job}/artifacts")
        for values in page["data"]:
            if values["role"] == "picture":
                data: bytes = self._client.transport.ask("GET", values["url"], headers={"Accept": "*/*"}).content
                return data
        return None

    def _repr_html_(self) -> str:
        return dataset_sheet(self)


class Model(Shareable):
    """A trained model."""

    architecture: str = ""
    shape: tuple[int, int, int]
    classes: int
    job: str | None = None
    sha256: str
    size: int
    created_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<Model {self.id} by {self.job} {'x'.join(map(str, self.shape))}, {self.classes} classes>"

    _collection: ClassVar[str] = "models"

    def lineage(self) -> dict[str, Any]:
        """Where it comes from: `nodes`, itself first, each with job, spec, seed, hashes and versions."""
        return _lineage(self._client, self._path)

    def link(self, *, seconds: int = 3600) -> Link:
        """A link to its weights for whoever has no key, good for at most a day."""
        return _link(self._client, self._path, {"seconds": seconds})

    def download(self, path: str | Path = ".", *, progress: Told | None = None) -> Path:
        """Fetch its weights as safetensors."""
        url = f"/v1/models/{self.id}/weights"
        return _fetch(self._client, url, path, name=f"{self.id}.safetensors", sha256=self.sha256, progress=progress)

    def made_by(self) -> Job | None:
        """The job that trained it; its `result` and `metrics()` are the model's figures."""
        job: Job | None = None if self.job is None else self._client.job(self.job)
        return job

    def _repr_html_(self) -> str:
        return model_figures(self)


def _lineage(client: Any, url: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.transport.json("GET", f"{url}/lineage")
    return answer


def _link(client: Any, path: str, params: Mapping[str, Any]) -> Link:
    link = Link._of(client, client.transport.json("GET", f"{path}/link", params=params))
    link.url = client.transport.config.url + link.url
    return link


def _fetch(client: Any, url: str, path: str | Path, *, name: str, sha256: str, progress: Told | None) -> Path:
    target = Path(path)
    if target.is_dir():
        target /= name
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched: Path = client.transport.download(url, target, sha256=sha256, progress=progress)
    if fetched != cache.cached_path(sha256):
        cache.remember(sha256, fetched)
    return fetched
