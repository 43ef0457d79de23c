"""Examples for the OpenAPI document: made from the schemas, with values that look like the real ones."""

from __future__ import annotations

from typing import Any

_ULID = "01jd3h7v0c8k2m4n6p8q0r2s4t"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_AT = "2026-11-26T12:00:00Z"
_DEEPEST = 8

SUBMISSIONS: dict[str, Any] = {
    "train": {
        "summary": "Train a network on clean images",
        "value": {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 20},
    },
    "adversarial": {
        "summary": "Train it on attacked images",
        "value": {
            "kind": "train",
            "dataset": "digits",
            "architecture": "convnet",
            "adversary": {"norm": "l2", "epsilon": 0.5, "steps": 7},
            "labels": {"paper": "table-2"},
        },
    },
    "study": {"summary": "The whole study", "value": {"kind": "study", "preset": "digits", "seeds": [0, 1, 2]}},
}
"""Of `POST /v1/jobs`."""

_BY_NAME: dict[str, Any] = {
    "job": f"job_{_ULID}",
    "study": f"job_{_ULID}",
    "shard_of": None,
    "owner": "ada",
    "user": "ada",
    "by": "root",
    "sha256": _SHA256,
    "node": "0/train/D_adv",
    "host": "gpu1",
    "device": "cuda",
    "url": "/v1/artifacts/art_01jd3h7v0c8k2m4n6p8q0r2s4t",
    "prefix": "3f9c2a1b7d4e",
    "key": "sieve_3f9c2a1b7d4e_Zm9yIGV4YW1wbGUgb25seSwgbm90IGEgcmVhbCBrZXk",
    "secret": "whsec_Zm9yIGV4YW1wbGUgb25seSwgbm90IGEgcmVhbCBrZXk=",
    "version": "1.0.0",
    "architecture": "convnet",
    "folder": "/data/pets",
    "classes": ["cat", "dog"],
    "shape": [3, 32, 32],
    "day": "2026-11-26",
    "next": None,
    "error": None,
    "attention": None,
    "pointer": "/epochs",
}
_IDS = {
    "Job": "job",
    "JobRow": "job",
    "Child": "job",
    "Artifact": "art",
    "Dataset": "ds",
    "MadeDataset": "ds",
    "Model": "mdl",
    "MadeModel": "mdl",
    "Upload": "upl",
    "User": "usr",
    "NewUser": "usr",
    "Me": "usr",
    "Key": "key",
    "MadeKey": "key",
    "Worker": "wrk",
    "Webhook": "whk",
    "NewWebhook": "whk",
    "Delivery": "msg",
}


def example(  # noqa: PLR0911 - a schema is of one of many sorts
    schema: dict[str, Any], schemas: dict[str, Any], *, name: str = "", owner: str = "", depth: int = 0
) -> Any:
    """A value that fits a schema; `schemas` are those that it may refer to."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name=name, owner=owner, depth=depth)
    for given in ("example", "const", "default"):
        if given in schema and schema[given] is not None:
            return schema[given]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    if name == "id" and owner in _IDS:
        return f"{_IDS[owner]}_{_ULID}"
    if name in _BY_NAME and _fits(_BY_NAME[name], schema):
        return _BY_NAME[name]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        real = [branch for branch in branches if branch.get("type") != "null"]
        if depth >= _DEEPEST and len(real) < len(branches):
            return None
        return example(real[0], schemas, name=name, owner=owner, depth=depth)
    if "allOf" in schema:
        return example(schema["allOf"][0], schemas, name=name, owner=owner, depth=depth)
    return _of_type(schema, schemas, name=name, depth=depth)


def _of_type(schema: dict[str, Any], schemas: dict[str, Any], *, name: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        owner = schema.get("title", "")
        return {
            field: example(inner, schemas, name=field, owner=owner, depth=depth + 1)
            for field, inner in schema.get("properties", {}).items()
        }
    if kind == "array":
        one = example(schema.get("items", {}), schemas, name=name, depth=depth + 1)
        return [one] * schema.get("minItems", 1)
    if kind == "string":
        formats = {"date-time": _AT, "date": _AT[:10], "binary": ""}
        return formats.get(schema.get("format", ""), name or "text")
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), 1)
    return {"boolean": False, "null": None}.get(str(kind), {})


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    kinds = {schema.get("type"), *(branch.get("type") for branch in schema.get("anyOf", []))}
    names = {str: "string", list: "array", type(None): "null"}
    return names.get(type(value)) in kinds
