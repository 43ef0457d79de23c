"""Imports point one way: sieve.specs <- core <- store <- api, worker <- local. Read from the syntax trees."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, Import, imports, modules

ALLOWED = {
    "sieve.specs": (),
    "sieve": ("sieve",),
    "core": ("sieve.specs",),
    "formats": ("sieve.specs", "core"),
    "store": ("sieve.specs", "core", "formats"),
    "api": ("sieve.specs", "core", "formats", "store"),
    "worker": ("sieve.specs", "core", "formats", "store"),
    "local": ("sieve", "core", "formats", "store", "api", "worker"),
    "migrations": ("store",),
}
"""What each package may import of ours, besides itself."""

VERSION = {"sieve", "sieve.__version__"}
"""What everybody may: the project's version."""

LAPTOP = {"click", "httpx", "pydantic", "pydantic_core", "rich", "yaml"}
"""What `sieve` may import of others: pyproject's dependencies."""

SERVER_MATTERS = {"alembic", "celery", "fastapi", "httpx", "psycopg", "redis", "sqlalchemy", "starlette", "uvicorn"}
"""What the science must not know of."""


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def home(module: str) -> str:
    """The key of ALLOWED that a module falls under."""
    return "sieve.specs" if within(module, "sieve.specs") else module.partition(".")[0]


def ours(name: str) -> bool:
    return name.partition(".")[0] in {*PACKAGES, "migrations", "tests"}


def all_imports(*packages: str) -> list[Import]:
    return [found for package in packages for name, path in modules(package) for found in imports(name, path)]


def misdirected(found: Import) -> bool:
    rooms = (home(found.importer), *ALLOWED[home(found.importer)])
    allowed = found.imported in VERSION or any(within(found.imported, room) for room in rooms)
    return ours(found.imported) and not allowed


def show(found: list[Import]) -> str:
    return "\n".join(f"{one.importer}:{one.line} imports {one.imported}" for one in found)


def test_imports_point_one_way() -> None:
    wrong = [found for found in all_imports(*PACKAGES, "migrations") if misdirected(found)]
    assert not wrong, show(wrong)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("api.routes.jobs", "worker.slots"),
        ("worker.slots", "api.app"),
        ("core.pgd", "formats.parquet"),
        ("core.pgd", "store.tables"),
        ("core.pgd", "sieve.client"),
        ("store.tables", "api.app"),
        ("store.tables", "local.postgres"),
        ("sieve.cli", "core.registry"),
        ("sieve.specs.base", "sieve.client"),
        ("api.app", "tests.conftest"),
    ],
)
def test_the_rule_notices(importer: str, imported: str) -> None:
    assert misdirected(Import(importer, imported, 1))


def test_a_relative_import_and_one_inside_a_function_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "slots.py"
    source.write_text("from ..api import app\ndef f():\n    import api.routes as r\n")
    assert {found.imported for found in imports("worker.slots.slots", source)} == {"worker.api.app", "api.routes"}


def test_the_laptop_part_needs_its_few_dependencies_only() -> None:
    known = {*LAPTOP, "sieve", *sys.stdlib_module_names}
    wrong = [found for found in all_imports("sieve") if found.imported.partition(".")[0] not in known]
    assert not wrong, show(wrong)


def test_the_science_knows_no_database_no_http_and_no_environment() -> None:
    wrong = [found for found in all_imports("core") if found.imported.partition(".")[0] in SERVER_MATTERS]
    assert not wrong, show(wrong)
    for name, path in modules("core"):
        asked = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        ]
        assert not asked, f"{name} reads the environment in line {asked}"


def test_every_package_is_looked_at() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert found <= set(PACKAGES)
