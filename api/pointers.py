"""From pydantic's errors to JSON pointers into what was sent."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Location = Sequence[int | str]


class FieldError(BaseModel):
    """One field that is wrong."""

    pointer: str
    """JSON pointer into the body, such as `/training/epochs`; of a query parameter or header, its name."""
    message: str


def field_errors(errors: Iterable[dict[str, Any]], body: Any, model: type[BaseModel] | None) -> list[FieldError]:
    """What pydantic found, one entry a field.

    `body` is what was sent. Where a union was tried branch by branch, its branches say their say in one message.
    `model` is what the body should have been; it knows what an unknown field may have meant.
    """
    messages: dict[str, list[str]] = {}
    for error in errors:
        place, *path = error["loc"]
        if place == "body":
            found = pointer(path, body, missing=error["type"] == "missing")
        else:
            found = "/".join(str(part) for part in path)
        said = messages.setdefault(found, [])
        message = _message(error, path, model)
        if message not in said:
            said.append(message)
    return [FieldError(pointer=found, message=_together(said)) for found, said in messages.items()]


def pointer(location: Location, body: Any, *, missing: bool) -> str:
    """The JSON pointer of a pydantic location. Names of union branches, which are not in the body, are left out."""
    parts = []
    here = body
    for index, part in enumerate(location):
        in_object = isinstance(here, dict) and part in here
        if in_object or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            here = here[part]
        elif not (missing and index == len(location) - 1):
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _together(messages: list[str]) -> str:
    """What the branches of a union said of one value."""
    start = "input should be a valid "
    if len(messages) > 1 and all(message.startswith(start) for message in messages):
        return (
            start
            + ", ".join(message.removeprefix(start) for message in messages[:-1])
            + messages[-1].replace(start, " or ")
        )
    return "; or: ".join(messages)


def _message(error: dict[str, Any], path: list[int | str], model: type[BaseModel] | None) -> str:
    if error["type"] == "missing":
        return "this field is required"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), fields_at(model, path[:-1]), n=1) if model else []
        return f"there is no field {path[-1]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if error["type"] == "union_tag_not_found":
        return f"say which, in its field {error['ctx']['discriminator']}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The names of the fields that an object at a pydantic location may have."""
    models = [model]
    for part in location:
        inside = [field.annotation for m in models if (field := m.model_fields.get(str(part))) is not None]
        if inside:
            models = [found for annotation in inside for found in _models_in(annotation)]
        else:  # an index, or the tag of a discriminated union
            models = [m for m in models if part in _tags(m)] or models
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list):
        return [found for argument in get_args(annotation) for found in _models_in(argument)]
    return []


def _tags(model: type[BaseModel]) -> set[Any]:
    literals = (field.annotation for field in model.model_fields.values() if get_origin(field.annotation) is Literal)
    return {value for literal in literals for value in get_args(literal)}
