"""The same job again, from elsewhere: as a curl call, in Python, and as a `sieve` command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from core.errors import SpecRefused
from core.planning import parse
from sieve.specs import Spec

COMMANDS = frozenset({"train", "synthesize", "evaluate", "study"})
"""Kinds that `sieve submit` has options for; others it takes as a file."""

_OF_REFERENCES = {"name", "options", "limit_train", "limit_test"}


def in_order(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same spec, its fields in the order in which their model names them: the database keeps none."""
    try:
        return parse(dict(spec)).model_dump(mode="json")
    except (SpecRefused, ValidationError):  # written by another version
        return dict(spec)


def shortened(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what is its default anyway."""
    try:
        parsed = parse(dict(spec))
    except (SpecRefused, ValidationError):  # written by another version
        return dict(spec)
    return {"kind": spec["kind"], **_given(parsed)}


def _given(spec: Spec) -> dict[str, Any]:
    """Fields that are not as they would be anyway; of objects inside always what says which of a union they are."""
    whole = spec.model_dump(mode="json")
    found = {}
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            inside = {tag: text for tag, text in whole[name].items() if tag in ("method", "name")} | _given(value)
            if value != field.get_default(call_default_factory=True):
                found[name] = inside
        elif value != field.get_default(call_default_factory=True):
            found[name] = whole[name]
    return found


def copies(spec: Mapping[str, Any], address: str) -> dict[str, str]:
    """By what it is called."""
    short = shortened(spec)
    body = json.dumps(short, ensure_ascii=False)
    curl = (
        f'curl {shlex.quote(address + "/v1/jobs")} -H "Authorization: Bearer $SIEVE_API_KEY" \\\n'
        f'  -H "Content-Type: application/json" \\\n  -d {shlex.quote(body)}'
    )
    python = f"from sieve import Client\n\njob = Client().submit(\n{_indented(short)}\n).wait()"
    return {"curl": curl, "Python": python, "command": _command(short)}


def _indented(short: Mapping[str, Any]) -> str:
    """As a Python literal, a field a line."""
    fields = "".join(f"        {name!r}: {value!r},\n" for name, value in short.items())
    return "    {\n" + fields + "    }"


def _command(short: Mapping[str, Any]) -> str:
    if short["kind"] not in COMMANDS:
        return f"echo {shlex.quote(json.dumps(short, ensure_ascii=False))} | sieve submit -f -"
    fields = {name: value for name, value in short.items() if name != "kind"}
    return " ".join(["sieve submit", str(short["kind"]), *_options(fields, ())])


def _options(fields: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, value in fields.items():
        here = (*path, name)
        flag = "--" + ".".join(here).replace("_", "-")
        if name == "options" and isinstance(value, dict):
            yield from (f"{flag} {shlex.quote(f'{key}={json.dumps(item)}')}" for key, item in value.items())
        elif isinstance(value, dict):
            if "name" in value and set(value) <= _OF_REFERENCES and name != "schedule":
                yield f"{flag} {shlex.quote(str(value['name']))}"
                value = {key: item for key, item in value.items() if key != "name"}  # noqa: PLW2901
            yield from _options(value, here)
        elif isinstance(value, bool):
            yield flag if value else "--" + ".".join((*path, "no-" + name)).replace("_", "-")
        elif isinstance(value, list) and all(isinstance(item, int | float) for item in value):
            yield f"{flag} {','.join(map(str, value))}"
        elif isinstance(value, list):
            yield from (f"{flag} {shlex.quote(json.dumps(item, ensure_ascii=False))}" for item in value)
        elif value is not None:
            yield f"{flag} {shlex.quote(str(value))}"
