"""Command options generated from a spec, and the spec's values read back from them.

Every field is an option: `--epochs`, and inside an object `--adversary.epsilon`. A reference is its name
(`--dataset digits`), lists of numbers are separated by commas or repeated (`--seeds 0,1` or `--seed 0 --seed 1`),
option tables are `key=value` (`--dataset.options size=16`), and lists of objects are YAML, whole or one by one.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sieve.cli.completion import BY_FIELD
from sieve.specs import Reference, Spec

CROWDED = 60
"""With more options than this, help shows those inside objects only when asked (`--help-all`)."""
_SEPARATOR = "__"
_SCALARS = (bool, int, float, str)


def spec_options(spec: type[Spec]) -> list[click.Option]:
    """An option for every field of `spec`, its `kind` left out."""
    options = list(_of_fields(spec, ()))
    for option in options:
        option.hidden = len(options) > CROWDED and "." in option.opts[0]
    return options


def spec_values(params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those options that were given, nested as in the spec."""
    values: dict[str, Any] = {}
    for name, value in params.items():
        if value is None or value == ():
            continue
        *path, last = name.split(_SEPARATOR)
        here = values
        for part in path:
            here = here.setdefault(part, {})
        here[last] = value
    return values


def option_of(pointer: str) -> str:
    """The option that sets the field at a JSON pointer, as nearly as there is one."""
    parts = [part for part in pointer.strip("/").split("/") if not part.isdigit()]
    if "options" in parts:
        del parts[parts.index("options") + 1 :]
    if len(parts) > 1 and parts[-1] == "name" and parts[-2] not in ("schedule", "objective"):
        parts.pop()
    return _flag(parts)


def _of_fields(spec: type[Spec], path: tuple[str, ...]) -> Iterator[click.Option]:
    for name, field in spec.model_fields.items():
        if not path and name == "kind":
            continue
        yield from _of_field(field, (*path, name))


def _of_field(field: FieldInfo, path: tuple[str, ...]) -> Iterator[click.Option]:
    branches = _branches(field.annotation)
    specs = [branch for branch in branches if isinstance(branch, type) and issubclass(branch, Spec)]
    if specs and issubclass(specs[0], Reference):
        yield _option(path, (*path, "name"), field, metavar="NAME", shell_complete=BY_FIELD.get(path[-1]))
        yield from (option for option in _of_fields(specs[0], path) if not option.name.endswith("__name"))
    elif len(specs) == 1:
        yield from _of_fields(specs[0], path)
    elif specs:
        yield from _of_union(specs, path)
    elif get_origin(branches[0]) is tuple and _branches(get_args(branches[0])[0])[0] in _SCALARS:
        kind = _branches(get_args(branches[0])[0])[0]
        singular = [(*path[:-1], path[-1].removesuffix("s"))] if path[-1].endswith("s") else []
        yield _option(path, path, field, aliases=singular, type=_Listed(kind), multiple=True, callback=_flattened)
    elif get_origin(branches[0]) is dict:
        yield _option(path, path, field, metavar="KEY=VALUE", multiple=True, callback=_table)
    elif branches[0] is bool:
        yield _option(path, path, field, switch=True)
    elif get_origin(branches[0]) is Literal:
        yield _option(path, path, field, type=Word([str(value) for value in get_args(branches[0])]))
    elif branches[0] in _SCALARS:
        yield _option(path, path, field, type=branches[0], shell_complete=BY_FIELD.get(path[-1]))
    else:
        yield _option(path, path, field, type=_Yaml(), multiple=True, callback=_flattened)


def _of_union(specs: list[type[Spec]], path: tuple[str, ...]) -> Iterator[click.Option]:
    """The options of all branches of a union, each once; the field that tells them apart is a choice."""
    fields: dict[str, list[tuple[type[Spec], FieldInfo]]] = {}
    for spec in specs:
        for name, field in spec.model_fields.items():
            fields.setdefault(name, []).append((spec, field))
    for name, having in fields.items():
        field = having[0][1]
        if get_origin(field.annotation) is Literal and len(having) == len(specs):
            tags = [str(tag) for _, branch in having for tag in get_args(branch.annotation)]
            yield _option((*path, name), (*path, name), field, type=Word(tags))
        else:
            same = all(branch.default == field.default for _, branch in having)
            yield from _of_field(
                field if same else FieldInfo(annotation=field.annotation, description=field.description), (*path, name)
            )


def _option(
    flag: tuple[str, ...],
    destination: tuple[str, ...],
    field: FieldInfo,
    *,
    aliases: list[tuple[str, ...]] | None = None,
    switch: bool = False,
    **settings: Any,
) -> click.Option:
    flags = [_flag(each) for each in [flag, *(aliases or [])]]
    if switch:
        flags[0] += "/" + _flag((*flag[:-1], "no-" + flag[-1]))
    said = " ".join((field.description or "").replace("`", "").split())
    default = field.default
    if default is not PydanticUndefined and default is not None and isinstance(default, (*_SCALARS, tuple)):
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        if len(shown) < 40:
            said = f"{said} [default: {shown}]".strip()
    return click.Option([*flags, _SEPARATOR.join(destination)], default=None, help=said, **settings)


def _flag(path: tuple[str, ...] | list[str]) -> str:
    return "--" + ".".join(path).replace("_", "-")


def _branches(annotation: Any) -> list[Any]:
    """What a value may be: unions taken apart, annotations and None left out."""
    if get_origin(annotation) is Annotated:
        return _branches(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [
            found for argument in get_args(annotation) if argument is not type(None) for found in _branches(argument)
        ]
    return [annotation]


class Word(click.Choice[str]):
    """One of some words; a wrong one is told the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = difflib.get_close_matches(str(value), [str(choice) for choice in self.choices], n=1)
            if near:
                self.fail(f"{error.message.rstrip('.')}; did you mean {near[0]!r}?", param, ctx)
            raise


class _Listed(click.ParamType[list[Any]]):
    """Values with commas between."""

    name = "list"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        del param, ctx
        return f"{self.kind.__name__.upper()},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return [self.kind(part) for part in str(value).split(",")]
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Yaml(click.ParamType[Any]):
    """Any value, as YAML or JSON."""

    name = "yaml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError as error:
            self.fail(f"this is not YAML: {error}", param, ctx)


def _flattened(_: click.Context, __: click.Parameter, value: tuple[Any, ...]) -> list[Any] | None:
    """The options' lists and single values, one after the other."""
    return [part for parts in value for part in (parts if isinstance(parts, list) else [parts])] or None


def _table(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, Any] | None:
    table = {}
    for pair in value:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", ctx, param)
        table[name] = _Yaml().convert(text, param, ctx)
    return table or None
