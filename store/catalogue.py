"""The datasets and models that there are: built-in, registered by the server's owner, made by jobs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import Session

from core.cards import DATASETS, DatasetCard, ModelCard
from core.errors import SpecRefused, UnknownName
from core.registry import parse_options
from sieve.specs import ArchitectureRef, DatasetRef, ModelRef, Reference, UploadRef
from store.errors import Conflict, NotFound
from store.folders import folder_card
from store.ids import new_id
from store.lifecycle import TERMINAL, State
from store.tables import Dataset, Job, Json, Model, Upload, User

MadeT = TypeVar("MadeT", Dataset, Model)


def dataset_json(card: DatasetCard) -> Json:
    """A dataset's card as JSON values."""
    return {
        "shape": list(card.shape),
        "classes": list(card.classes),
        "train_images": card.train_images,
        "test_images": card.test_images,
    }


def dataset_card(values: Json) -> DatasetCard:
    """The inverse of `dataset_json`."""
    channels, height, width = values["shape"]
    return DatasetCard(
        (channels, height, width), tuple(values["classes"]), values["train_images"], values["test_images"]
    )


def model_json(card: ModelCard) -> Json:
    """A model's card as JSON values."""
    architecture = None if card.architecture is None else card.architecture.model_dump(mode="json")
    return {
        "shape": list(card.shape),
        "classes": card.classes,
        "architecture": architecture,
        "attacked": card.attacked,
    }


def model_card(values: Json) -> ModelCard:
    """The inverse of `model_json`."""
    channels, height, width = values["shape"]
    architecture = values.get("architecture")
    return ModelCard(
        (channels, height, width),
        values["classes"],
        None if architecture is None else ArchitectureRef.model_validate(architecture),
        values.get("attacked", False),
    )


def visible_to(viewer: User, owner_id: Any) -> ColumnElement[bool]:
    """The rows that a viewer may see: an admin's are all, a member's are their own."""
    return true() if viewer.role == "admin" else owner_id == viewer.id


def open_to(viewer: User, table: type[Job | Dataset | Model]) -> ColumnElement[bool]:
    """The rows that a viewer may look at and use: also what others share with the lab."""
    return or_(visible_to(viewer, table.owner_id), table.shared)


class DatabaseCatalogue:
    """`core.cards.Catalogue`, answered from the registry and the database as one user sees it."""

    def __init__(self, session: Session, viewer: User) -> None:
        self._session = session
        self._viewer = viewer

    def dataset(self, ref: DatasetRef) -> DatasetCard:
        """The card of a dataset, its counts limited as the reference asks."""
        card = self.whole_dataset(ref)
        return dataclasses.replace(
            card,
            train_images=_limited(card.train_images, ref.limit_train),
            test_images=_limited(card.test_images, ref.limit_test),
        )

    def whole_dataset(self, ref: DatasetRef) -> DatasetCard:
        """The card of a dataset before limits."""
        if ref.name in DATASETS.names():
            entry = DATASETS.get(ref.name)
            return entry.card(parse_options(entry.options, ref.options))
        if ref.options:
            raise SpecRefused("/options", f"{ref.name} takes no options: only built-in datasets do")
        if ref.name.startswith("job_"):
            return dataset_card(self._made_by(ref, "dataset"))
        return dataset_card(self._stored(ref).card)

    def model(self, ref: ModelRef) -> ModelCard:
        """The card of a model."""
        if ref.name.startswith("job_"):
            return model_card(self._made_by(ref, "model"))
        mine = open_to(self._viewer, Model)
        found = self._session.scalar(_kept(select(Model).where(Model.id == ref.name, mine)))
        if found is None:
            raise UnknownName("/name", "model", ref.name, ())
        return model_card(found.card)

    def upload(self, ref: UploadRef) -> None:
        """See that an upload is there, and whole."""
        mine = visible_to(self._viewer, Upload.owner_id)
        found = self._session.scalar(select(Upload).where(Upload.id == ref.name, mine))
        if found is None:
            raise UnknownName("/name", "upload", ref.name, ())
        if found.sha256 is None:
            raise SpecRefused("/name", f"{ref.name} has not wholly arrived")

    def job(self, ref: Reference) -> Job:
        """The job that a reference names, which must have succeeded or still be able to.

        Raises:
            SpecRefused: it does not exist for this viewer, or ended otherwise.
        """
        job = self._session.scalar(select(Job).where(Job.id == ref.name, open_to(self._viewer, Job)))
        if job is None:
            raise UnknownName("/name", "job", ref.name, ())
        if job.state in TERMINAL and job.state != State.SUCCEEDED:
            was = "" if job.state == State.FAILED else "was "
            raise SpecRefused("/name", f"{job.id} {was}{job.state}")
        return job

    def _made_by(self, ref: Reference, what: str) -> Json:
        job = self.job(ref)
        produces = job.produces or {}
        if job.kind in ("ingest", "ingest_model") and not produces:
            raise SpecRefused("/name", f"{ref.name} has not read its upload yet: what it makes is known when it ends")
        if what not in produces:
            raise SpecRefused("/name", f"{ref.name} makes no {what}")
        card: Json = produces[what]
        return card

    def _stored(self, ref: DatasetRef) -> Dataset:
        mine = _usable(self._viewer)
        named = or_(Dataset.id == ref.name, Dataset.name == ref.name)
        found = self._session.scalar(_kept(select(Dataset).where(named, mine)))
        if found is None:
            registered = self._session.scalars(select(Dataset.name).where(Dataset.name.is_not(None)))
            known = [*DATASETS.names(), *(name for name in registered if name)]
            raise UnknownName("/name", "dataset", ref.name, known)
        return found


def _kept(query: Select[MadeT]) -> Select[MadeT]:
    """What is found cannot be deleted before this transaction, which may write a job that names it, is over."""
    return query.with_for_update(read=True, key_share=True)


def register_folder(session: Session, owner: User, name: str, path: Path) -> Dataset:
    """Give an image folder of the server (`train/<class>/*`, `test/<class>/*`) a name that specs can use.

    Raises:
        Conflict: the name is taken, or cannot be one.
        DataUnavailable: the folder is not laid out so.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name) or name.startswith(("job_", "ds_", "mdl_")):
        raise Conflict("bad_name", f"{name!r} cannot be a dataset's name: letters, digits, '_', '.' and '-'")
    taken = session.scalar(select(Dataset.id).where(Dataset.name == name)) is not None
    if taken or name in DATASETS.names():
        raise Conflict("name_taken", f"there is a dataset {name!r} already")
    path = path.resolve()
    card = dataset_json(folder_card(path))
    dataset = Dataset(id=new_id("ds"), name=name, owner_id=owner.id, folder=str(path), card=card)
    session.add(dataset)
    session.flush()
    return dataset


def datasets(session: Session, viewer: User, *, before: str | None = None, limit: int = 50) -> list[Dataset]:
    """Stored and registered datasets that the viewer may use, newest first."""
    return _page(session, Dataset, _usable(viewer), before, limit)


def models(session: Session, viewer: User, *, before: str | None = None, limit: int = 50) -> list[Model]:
    """Models that the viewer may use, newest first."""
    return _page(session, Model, open_to(viewer, Model), before, limit)


def get_dataset(session: Session, viewer: User, dataset_id: str) -> Dataset:
    """One dataset, by its id or by a registered folder's name. Raises `NotFound`."""
    named = or_(Dataset.id == dataset_id, Dataset.name == dataset_id)
    found = session.scalar(select(Dataset).where(named, _usable(viewer)))
    if found is None:
        raise NotFound("dataset", dataset_id)
    return found


def get_model(session: Session, viewer: User, model_id: str) -> Model:
    """One model. Raises `NotFound`."""
    found = session.scalar(select(Model).where(Model.id == model_id, open_to(viewer, Model)))
    if found is None:
        raise NotFound("model", model_id)
    return found


def _usable(viewer: User) -> ColumnElement[bool]:
    return or_(Dataset.folder.is_not(None), open_to(viewer, Dataset))


def _page(
    session: Session, table: type[MadeT], where: ColumnElement[bool], before: str | None, limit: int
) -> list[MadeT]:
    query = select(table).where(where).order_by(table.id.desc()).limit(limit)
    return list(session.scalars(query.where(table.id < before) if before else query))


def _limited(count: int | None, limit: int | None) -> int | None:
    return count if count is None or limit is None else min(count, limit)
