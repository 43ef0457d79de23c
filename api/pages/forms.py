"""Forms from the JSON schemas of specs: which fields there are, and what was filled in as the body of a submission.

An empty field is not sent: it keeps its default, or the preset's value, which its placeholder shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import yaml

from api.submission import Envelope, submission_model
from core.cards import KINDS
from sieve.specs import PRESETS

Sort = Literal["integer", "number", "text", "choice", "switch", "list", "table", "yaml"]

_REFERENCES = {
    "DatasetRef": "datasets",
    "ModelRef": "models",
    "ArchitectureRef": "architectures",
    "UploadRef": "uploads",
}
"""Schemas of references, and what their names are suggested from."""
_PRIORITIES = {"-1": "low", "0": "normal", "1": "high"}
_FIRST = ("preset", "construction", "dataset", "model", "architecture", "seeds", "seed", "upload", "format")


@dataclass(frozen=True)
class Input:
    """A field to fill in."""

    name: str
    """Names of the fields that lead to it, with dots between."""
    label: str
    hint: str
    sort: Sort
    default: str
    """What holds where nothing is filled in."""
    choices: Mapping[str, str] | None = None
    """Value: what it is called."""
    suggested: str = ""
    """What there is to choose from beside what one types."""
    when: tuple[str, tuple[str, ...]] | None = None
    """Another input, and for which of its values this one counts."""
    required: bool = False

    @property
    def id(self) -> str:
        """In the page."""
        return "f-" + self.name.replace(".", "-")


@dataclass(frozen=True)
class Group:
    """Fields that belong together."""

    name: str
    label: str
    hint: str
    members: tuple[Input | Group, ...]
    optional: bool = False
    """May be absent altogether: then a box says whether it is there."""

    @property
    def id(self) -> str:
        """In the page."""
        return "f-" + self.name.replace(".", "-")

    def inputs(self) -> Iterator[Input]:
        """All fields in it."""
        for member in self.members:
            if isinstance(member, Group):
                yield from member.inputs()
            else:
                yield member


@lru_cache
def form_of(kind: str) -> Group:
    """The form of a kind of job."""
    spec = KINDS.get(kind).spec
    schema = submission_model(spec).model_json_schema()
    reading = _Reading(schema.get("$defs", {}))
    properties = {name: field for name, field in schema["properties"].items() if name not in Envelope.model_fields}
    required = schema.get("required", ())
    members = [reading.field(name, field, name in required) for name, field in properties.items() if name != "kind"]
    order = {name: place for place, name in enumerate(_FIRST)}
    members.sort(key=lambda member: order.get(member.name, len(order)) if member else 0)
    beside = [reading.field(name, schema["properties"][name]) for name in Envelope.model_fields]
    named = [member for member in beside if member and member.name == "name"]
    envelope = Group(
        "", "Queue, labels, deadlines", "", tuple(member for member in beside if member and member.name != "name")
    )
    return Group(kind, kind, "", tuple(member for member in (*named, *members, envelope) if member))


class _Reading:
    """Makes fields of schemas."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def field(self, name: str, schema: Mapping[str, Any], required: bool = False) -> Input | Group | None:
        """None where there is nothing to fill in."""
        schema, title, optional = self._resolved(schema)
        hint = " ".join(str(schema.get("description", "")).replace("`", "").split())
        label = _label(name)
        if "const" in schema:
            return None
        if title in _REFERENCES:
            return self._reference(name, schema, title, hint=hint, required=required)
        if "discriminator" in schema:
            return self._union(name, schema, label, hint)
        if schema.get("type") == "object" and "properties" in schema:
            members = [
                self.field(f"{name}.{inner}", field, inner in schema.get("required", ()))
                for inner, field in schema["properties"].items()
            ]
            return Group(name, label, hint, tuple(member for member in members if member), optional=optional)
        return self._input(name, schema, label, hint, required and not optional)

    def _resolved(self, schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, bool]:
        """What a schema stands for, with the description and default given beside; its name; may it be null?"""
        beside = {key: value for key, value in schema.items() if key in ("description", "default")}
        title, optional = "", False
        while True:
            branches = schema.get("anyOf")
            if branches is not None:
                optional = any(branch.get("type") == "null" for branch in branches)
                others = [branch for branch in branches if branch.get("type") != "null"]
                others = [
                    branch for branch in others if "properties" in branch
                ] or others  # not a reference's bare name
                if len(others) > 1:
                    return {**others[0], "type": "string", **beside}, "", optional
                schema = others[0]
            elif "$ref" in schema:
                title = schema["$ref"].rpartition("/")[2]
                schema = self._definitions[title]
            else:
                return {**schema, **beside}, title, optional

    def _reference(self, name: str, schema: Mapping[str, Any], title: str, *, hint: str, required: bool) -> Group:
        label = _label(name)
        suggested = _REFERENCES[title]
        named = Input(
            f"{name}.name", label, hint, "text", _shown(schema.get("default")), suggested=suggested, required=required
        )
        inner = schema["properties"].items()
        more = [self.field(f"{name}.{field}", values) for field, values in inner if field != "name"]
        return Group(name, label, "", (named, *(member for member in more if member)))

    def _union(self, name: str, schema: Mapping[str, Any], label: str, hint: str) -> Group:
        tag = schema["discriminator"]["propertyName"]
        branches = {
            value: self._resolved({"$ref": ref})[0] for value, ref in schema["discriminator"]["mapping"].items()
        }
        chosen = Input(
            f"{name}.{tag}",
            label,
            hint,
            "choice",
            _tag(schema.get("default"), tag),
            {value: _label(value) for value in branches},
            required="default" not in schema,
        )
        fields: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
        for value, branch in branches.items():
            for field, inner in branch["properties"].items():
                if field != tag:
                    fields.setdefault(field, (inner, []))[1].append(value)
        members = []
        for field, (inner, values) in fields.items():
            made = self.field(f"{name}.{field}", inner)
            if isinstance(made, Input):
                members.append(Input(**{**made.__dict__, "when": (chosen.name, tuple(values))}))
        return Group(name, label, "", (chosen, *members))

    def _input(self, name: str, schema: Mapping[str, Any], label: str, hint: str, required: bool) -> Input:
        default, kind = _shown(schema.get("default")), schema.get("type")
        if name == "preset":
            return Input(name, label, hint, "choice", "", {preset: preset for preset in PRESETS})
        if name == "priority":
            return Input(
                name,
                label,
                "Low may be paused for a short job of high priority; high counts double.",
                "choice",
                "normal",
                _PRIORITIES,
            )
        if "enum" in schema:
            return Input(
                name,
                label,
                hint,
                "choice",
                default,
                {str(value): _label(str(value)) for value in schema["enum"]},
                required=required,
            )
        sort: Sort = "text"
        if kind == "boolean":
            sort = "switch"
        elif kind in ("integer", "number"):
            sort = kind
        elif kind == "array":
            items = self._resolved(schema.get("items", schema.get("prefixItems", [{}])[0]))[0]
            sort = "list" if items.get("type") in ("integer", "number", "string") else "yaml"
        elif kind == "object":
            sort = "table"
        return Input(name, label, hint, sort, default, required=required)


def filled_in(form: Group, sent: Mapping[str, str]) -> dict[str, Any]:
    """The body of a submission. What cannot be read is passed on as text: the spec says what is wrong with it."""
    body: dict[str, Any] = {}
    for group in _groups(form):
        if group.optional and sent.get(f"{group.name}?") == "on":
            _inside(body, group.name.split("."))
    for input in form.inputs():
        text = sent.get(input.name, "").strip()
        counts = input.when is None or sent.get(input.when[0], "") in ("", *input.when[1])
        if text and counts:
            *path, last = input.name.split(".")
            _inside(body, path)[last] = _value(input, text)
    return body


def filled_from(form: Group, spec: Mapping[str, Any]) -> dict[str, str]:
    """What to fill in for a spec: the inverse of `filled_in`."""
    flat: dict[str, str] = {}
    for group in _groups(form):
        if group.optional and _at(spec, group.name) is not None:
            flat[f"{group.name}?"] = "on"
    for input in form.inputs():
        value = _at(spec, input.name)
        if value is not None and value not in ({}, []):
            flat[input.name] = _shown(value)
    return flat


def field_at(form: Group, pointer: str) -> str:
    """The name of the input that a JSON pointer speaks of, as nearly as there is one; empty for none."""
    names = {input.name for input in form.inputs()}
    groups = {group.name: next(group.inputs()).name for group in _groups(form) if group.name}
    path = pointer.strip("/").replace("/", ".")
    while path:
        if path in names:
            return path
        if f"{path}.name" in names:
            return f"{path}.name"
        if path in groups:
            return groups[path]
        path = path.rpartition(".")[0]
    return ""


def presets(form: Group) -> dict[str, dict[str, str]]:
    """By preset: what holds where nothing is filled in."""
    return {name: filled_from(form, {"preset": name, **values}) for name, values in PRESETS.items()}


def _groups(form: Group) -> Iterator[Group]:
    for member in form.members:
        if isinstance(member, Group):
            yield member
            yield from _groups(member)


def _inside(body: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path:
        body = body.setdefault(part, {})
    return body


def _at(spec: Mapping[str, Any], name: str) -> Any:
    here: Any = spec
    for part in name.split("."):
        if isinstance(here, str) and part == "name":
            return here
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _value(input: Input, text: str) -> Any:
    if input.sort in ("integer", "number") or input.name in ("priority", "shards"):
        return _number(text)
    if input.sort == "switch":
        return {"true": True, "false": False}.get(text, text)
    if input.sort == "list":
        return [_number(part.strip()) for part in text.split(",") if part.strip()]
    if input.sort == "table":
        return _table(text, words=input.name == "labels")
    return _yaml(text) if input.sort == "yaml" else text


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _table(text: str, *, words: bool) -> Any:
    table: dict[str, Any] = {}
    for line in text.replace(";", "\n").splitlines():
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            return text
        if equals:
            table[name.strip()] = value.strip() if words else _yaml(value)
    return table


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _shown(value: Any) -> str:
    """A value as one would fill it in."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        simple = all(isinstance(item, str | int | float | bool | list | tuple) for item in value.values())
        return "\n".join(f"{key}={_plain(item)}" for key, item in value.items()) if simple else json.dumps(value)
    if isinstance(value, list | tuple):
        if all(isinstance(item, str | int | float) for item in value):
            return ", ".join(map(str, value))
        return json.dumps(value)
    return str(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _tag(default: Any, tag: str) -> str:
    return str(default.get(tag, "")) if isinstance(default, Mapping) else ""


def _label(name: str) -> str:
    last = name.rpartition(".")[2].replace("_", " ")
    return last[:1].upper() + last[1:]
