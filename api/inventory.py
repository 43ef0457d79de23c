"""Datasets and models, from rows to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from api import lineage_schemas, schemas
from core.cards import DatasetEntry
from store import catalogue, lineage, tables
from store.jobs import surroundings


def built_in_dataset(entry: DatasetEntry) -> schemas.Dataset:
    """A built-in dataset, as it is without options."""
    card = entry.card(entry.options())
    return schemas.Dataset(
        id=entry.name,
        source="built-in",
        summary=entry.summary,
        **catalogue.dataset_json(card),
        options=entry.options.model_json_schema(),
    )


def stored_datasets(session: Session, rows: Sequence[tables.Dataset]) -> dict[str, schemas.Dataset]:
    """Registered and made datasets, by id."""
    files = surroundings.artifacts(session, [row.artifact_id for row in rows if row.artifact_id])
    return {row.id: _stored_dataset(row, files.get(row.artifact_id or "")) for row in rows}


def _stored_dataset(row: tables.Dataset, file: tables.Artifact | None) -> schemas.Dataset:
    return schemas.Dataset(
        id=row.name or row.id,
        source="folder" if row.folder else "job",
        summary="" if row.folder is None else "image folder on the server",
        **row.card,
        job=row.job_id,
        sha256=file.sha256 if file else None,
        size=file.size if file else None,
        created_at=row.created_at,
        download=f"/v1/datasets/{row.id}/download?format=safetensors" if file else None,
        shared=row.shared or row.folder is not None,
    )


def models(session: Session, rows: Sequence[tables.Model]) -> dict[str, schemas.Model]:
    """Models, by id."""
    files = surroundings.artifacts(session, [row.artifact_id for row in rows])
    specs = surroundings.specs(session, [row.job_id for row in rows if row.job_id])
    return {
        row.id: schemas.Model(
            id=row.id,
            architecture=_architecture(row, specs),
            shape=row.card["shape"],
            classes=row.card["classes"],
            job=row.job_id,
            sha256=files[row.artifact_id].sha256,
            size=files[row.artifact_id].size,
            created_at=row.created_at,
            weights=f"/v1/models/{row.id}/weights",
            shared=row.shared,
        )
        for row in rows
    }


def _architecture(row: tables.Model, specs: Mapping[str, tables.Json]) -> str:
    """Its name; cards that are older do not hold it, but their jobs' specs do."""
    told = row.card.get("architecture") or specs.get(row.job_id or "", {}).get("architecture") or {}
    return str(told.get("name", ""))


def lineage_of(session: Session, viewer: tables.User, row: tables.Dataset | tables.Model) -> lineage_schemas.Lineage:
    """Where a dataset or model comes from."""
    nodes = [lineage_schemas.LineageNode(**vars(node)) for node in lineage.lineage(session, viewer, row)]
    return lineage_schemas.Lineage(id=nodes[0].id, nodes=nodes)


def provenance(session: Session, job_id: str | None) -> schemas.Provenance | None:
    """How what a job made came to be."""
    if job_id is None:
        return None
    return schemas.Provenance.model_validate(lineage.story(session, job_id))
