"""What a study's page shows beside what every job's does: its graph, its tables and plots, the picture wall."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session as OrmSession

from api import schemas
from api.auth import DatabaseOf
from api.pages import graph, pictures
from api.pages.paper import Printed
from api.pages.streams import changes, stream
from api.pages.visitor import WatcherOf
from core import figures, tables
from core.studies import WALL
from core.tables import Table, number
from core.wording import findings
from store.blobs import BlobStore
from store.database import Database
from store.figures import from_json
from store.jobs import pulse, read, surroundings
from store.tables import Job, Json

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/jobs/{job_id}")


@router.get("/changes")
def live(job_id: str, database: DatabaseOf, watcher: WatcherOf) -> Response:
    """Tells that something happened to the study or to one of its jobs."""
    with database.transaction() as session:
        read.get(session, watcher.user, job_id)

    def look(database: Database) -> str:
        with database.transaction() as session:
            return pulse.of_study(session, job_id)

    def over(database: Database) -> bool:
        with database.transaction() as session:
            return surroundings.ended(session, job_id) is not None

    return stream(changes(database, look, over))


def shown(
    session: OrmSession, row: Job, job: schemas.Job, blobs: BlobStore, *, of_class: str, index: int
) -> dict[str, Any]:
    """Values for the template."""
    values: dict[str, Any] = {
        "drawing": graph.drawing(job.children, surroundings.graph(session, row.id)),
        "numbers": None,
        "so_far": None,
        "wall": None,
    }
    numbers = _numbers(session, row, blobs)
    if numbers is None:
        values["so_far"] = so_far(surroundings.results(session, row.id, "evaluate"))
        return values
    return values | {
        "numbers": numbers,
        "findings": findings(numbers),
        "main": tables.main_table(numbers),
        "published": tables.published_table(numbers),
        "constructions": tables.construction_tables(numbers),
        "other": tables.other_table(numbers),
        "attacks": tables.attacks_table(numbers),
        "plots": figures.plots(numbers),
        "wall": _wall(session, row, blobs, of_class, index),
    }


def _numbers(session: OrmSession, row: Job, blobs: BlobStore) -> dict[str, Any] | None:
    """The report's, once there is one: from its file, which keeps the order of the epsilons, as a column does not."""
    for file in surroundings.files(session, row):
        if file.artifact.role == "report" and file.artifact.name == "report.json":
            numbers: dict[str, Any] = json.loads(blobs.fetch(file.artifact.sha256).read_bytes())
            return numbers if numbers.get("rows") else None
    return None


def so_far(evaluated: Mapping[str, Json]) -> Table | None:
    """The rows that are known while a study still runs: one for each evaluation that has ended."""
    if not evaluated:
        return None
    found = {node: from_json(result) for node, result in evaluated.items()}
    columns = dict.fromkeys(
        (norm, epsilon) for result in found.values() for norm, held in result["robust"].items() for epsilon in held
    )
    order = sorted(columns, key=lambda column: (column[0], float(column[1])))
    return Table(
        title="So far, accuracy on the test set, %",
        columns=("trained on", "standard", *(f"{norm} eps {epsilon}" for norm, epsilon in order)),
        rows=tuple(
            (
                _row(node, several=len({node.partition("/")[0] for node in found}) > 1),
                number(100 * result["standard"]),
                *(_percent(result["robust"].get(norm, {}).get(epsilon)) for norm, epsilon in order),
            )
            for node, result in found.items()
        ),
    )


def _row(node: str, *, several: bool) -> str:
    seed, _, rest = node.partition("/")
    name = rest.rpartition("/")[2] or node
    return f"{name}, seed {seed}" if several else name


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value)


def _wall(session: OrmSession, row: Job, blobs: BlobStore, of_class: str, index: int) -> pictures.Wall | None:
    """None of studies that were reported before there were walls to choose from."""
    file = next((one.artifact for one in surroundings.files(session, row) if one.artifact.name == WALL), None)
    if file is None:
        return None
    return pictures.wall(blobs.fetch(file.sha256), int(of_class) if of_class.isdecimal() else None, index)
