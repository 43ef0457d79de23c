"""`sieve reproduce`, and what `sieve show` says of datasets and models: where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.tree import Tree

from sieve.cli.completion import complete_any
from sieve.cli.terminal import Terminal, ago, size, with_terminal
from sieve.client import Client
from sieve.objects import Dataset, Model
from sieve.reproducing import begin, compare

_SPOKEN = ("kind", "seed")
"""Fields of a spec that are not said again."""
_DIGITS = 12
"""Of a hash, for people."""


@click.command()
@click.argument("made", metavar="ID", shell_complete=complete_any)
@with_terminal
def reproduce(terminal: Terminal, made: str) -> None:
    """Make a dataset (ds_…) or model (mdl_…) once more from its spec, and compare hash and figures.

    Exits with 1 where the files differ.
    """
    with terminal.client() as client:
        job = begin(client, made)
        terminal.hint(f"made again by {job.id}")
        found = compare(client, made, job.wait())
    if terminal.json:
        terminal.values(found.to_dict())
    else:
        terminal.say(found.again)
        first, again = (sha256[:_DIGITS] for sha256 in found.sha256)
        same = "the same bytes" if found.identical else f"other bytes: sha256 {first}… and {again}…"
        terminal.hint(f"{same}; {len(found.figures) or 'no'} figures differ")
        for what, differences in (("", found.figures), ("made with another ", found.surroundings)):
            for difference in differences:
                terminal.hint(f"  {what}{difference}")
    if not found.identical:
        click.get_current_context().exit(1)


def show_made(terminal: Terminal, client: Client, id_: str, *, lineage: bool) -> None:
    """Say what a dataset or model is, and with `lineage` also where it comes from."""
    record: Dataset | Model = client.model(id_) if id_.startswith("mdl_") else client.dataset(id_)
    told = record.lineage() if lineage else None
    if terminal.json:
        terminal.values(told or record.to_dict())
    elif terminal.quiet:
        terminal.say(record.id)
    elif told is not None:
        terminal.out.print(_tree({node["id"]: node for node in told["nodes"]}, told["id"], ""))
    else:
        for name, value in record.to_dict().items():
            if value is not None and not isinstance(value, Mapping):
                terminal.say(f"  {name}: {_short(name, value)}")
        terminal.hint(f"where it comes from: sieve show {id_} --lineage")


def _tree(nodes: Mapping[str, Mapping[str, Any]], id_: str, reference: str) -> Tree:
    node = nodes[id_]
    tree = Tree("\n".join(_lines(node, reference)), guide_style="dim")
    for name, below in node["inputs"].items():
        if below in nodes:
            tree.children.append(_tree(nodes, below, name))
    return tree


def _lines(node: Mapping[str, Any], reference: str) -> list[str]:
    """What is said of a node."""
    head = f"{node['id']}  {node['what']}"
    head += f" ({reference})" if reference not in ("", node["id"]) else ""
    head += "" if node["there"] else "  no longer there, or not yours"
    lines = [head]
    if node["sha256"]:
        lines.append(f"  sha256 {node['sha256'][:_DIGITS]}…")
    if node["job"]:
        lines.append(f"  by {node['kind']} {node['job']}, seed {node['seed']}")
    if node["spec"]:
        lines += [f"  {line}" for line in _spoken(node["spec"])]
    if node["software"]:
        versions = node["software"]
        first = [f"{name} {versions[name]}" for name in ("feature_sieve", "code", "torch") if name in versions]
        where = [str(node["hardware"][name]) for name in ("host", "device", "processor") if node["hardware"].get(name)]
        lines.append(f"  {', '.join(first)}; on {', '.join(where)}")
    return lines


def _spoken(spec: Mapping[str, Any]) -> list[str]:
    """A spec's fields that are no references, in short."""
    plain = {name: value for name, value in spec.items() if name not in _SPOKEN and not isinstance(value, Mapping)}
    inner = {name: value for name, value in spec.items() if isinstance(value, Mapping) and "name" not in value}
    lines = [", ".join(f"{name} {value}" for name, value in plain.items() if value not in (None, [], False))]
    lines += [f"{name}: " + ", ".join(f"{key} {one}" for key, one in value.items()) for name, value in inner.items()]
    named = [f"{name} {value['name']}" for name, value in spec.items() if name == "architecture" and value]
    return [line for line in (*named, *lines) if line]


def _short(name: str, value: Any) -> str:
    if name == "size":
        return size(value)
    if name == "created_at":
        return f"{value} ({ago(value)} ago)" if not isinstance(value, str) else value
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
