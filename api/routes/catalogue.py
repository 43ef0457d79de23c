"""What the server can do: kinds of job, architectures, attacks, presets, formats."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastapi import APIRouter

from api import schemas
from api.auth import signed_in
from core.cards import ARCHITECTURES, ATTACKS
from core.planning import submittable_kinds
from formats.card import FORMATS
from sieve.specs import FOLLOWUP_PRESETS, FOLLOWUP_SUMMARIES, PRESET_SUMMARIES, PRESETS, Spec

router = APIRouter(prefix="/v1", tags=["catalogue"], dependencies=[signed_in])


@router.get("/kinds")
def list_kinds() -> schemas.Page[schemas.Kind]:
    """The kinds of job that can be submitted, with the schemas of their specs."""
    kinds = submittable_kinds()
    return schemas.Page(
        data=[schemas.Kind(name=kind.name, summary=kind.summary, spec=_schema(kind.spec)) for kind in kinds]
    )


@lru_cache
def _schema(spec: type[Spec]) -> dict[str, Any]:
    """Made once: that takes milliseconds."""
    return spec.model_json_schema()


@router.get("/architectures")
def list_architectures() -> schemas.Page[schemas.Entry]:
    """The networks that the server can build."""
    return schemas.Page(
        data=[
            schemas.Entry(name=entry.name, summary=entry.summary, options=_schema(entry.options))
            for entry in ARCHITECTURES.cards()
        ]
    )


@router.get("/attacks")
def list_attacks() -> schemas.Page[schemas.Attack]:
    """The attacks that evaluations can use."""
    return schemas.Page(
        data=[
            schemas.Attack(
                name=entry.name,
                summary=entry.summary,
                options=_schema(entry.options),
                norms=sorted(entry.norms),
            )
            for entry in ATTACKS.cards()
        ]
    )


@router.get("/presets")
def list_presets() -> schemas.Page[schemas.Preset]:
    """Complete settings of the studies; a name says which one only together with its kind."""
    summaries = {"study": PRESET_SUMMARIES} | dict.fromkeys(FOLLOWUP_PRESETS, FOLLOWUP_SUMMARIES)
    return schemas.Page(
        data=[
            schemas.Preset(
                kind=kind,
                name=name,
                summary=summaries[kind][name],
                spec={"kind": kind, "preset": name, **values},
            )
            for kind, presets in ({"study": PRESETS} | FOLLOWUP_PRESETS).items()
            for name, values in presets.items()
        ]
    )


@router.get("/formats")
def list_formats() -> schemas.Page[schemas.Format]:
    """The file formats that datasets can be downloaded in."""
    return schemas.Page(
        data=[
            schemas.Format(
                name=entry.name,
                summary=entry.summary,
                media_type=entry.media_type,
                suffix=entry.suffix,
                exact=entry.exact,
            )
            for entry in FORMATS.cards()
        ]
    )
