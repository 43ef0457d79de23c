"""The OpenAPI document and the code hold together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api.problems import MEDIA_TYPE
from sieve.specs import PRESETS

OPEN = ("/healthz", "/readyz", "/metrics")


@pytest.fixture
def document(visitor: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = visitor.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_ids_are_the_handlers_names_and_unique(visitor: TestClient, document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    routes = [route for route in iter_route_contexts(visitor.app.routes) if route.include_in_schema]  # type: ignore[attr-defined]
    assert set(ids) == {route.name for route in routes}
    assert {"submit_job", "show_job", "list_jobs", "list_events", "download_dataset", "create_key"} <= set(ids)


def test_every_operation_says_what_can_go_wrong_and_who_may_ask(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        answers = operation["responses"]
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert {"500", "503"} <= set(answers), (path, method)
        for status, answer in answers.items():
            if status >= "400":
                (content,) = answer["content"].items()
                assert content[0] == MEDIA_TYPE, (path, method, status)
                assert content[1]["example"]["status"] == int(status)
        if path in OPEN:
            assert "security" not in operation
            continue
        assert operation["security"][0] == {"HTTPBearer": []}, (path, method)
        assert {"401", "403", "429"} <= set(answers), (path, method)
        assert "Retry-After" in answers["429"]["headers"]
        assert "WWW-Authenticate" in answers["401"]["headers"]
        assert "404" in answers or "{" not in path


def test_examples_are_there_and_fit_their_schemas(document: dict[str, Any]) -> None:
    seen = 0
    for path, method, operation in operations(document):
        places = [*operation["responses"].values(), operation.get("requestBody", {})]
        for content in (place.get("content", {}) for place in places):
            for media, told in content.items():
                if media not in ("application/json", MEDIA_TYPE) or "schema" not in told:
                    continue
                shown = [one["value"] for one in told.get("examples", {}).values()] or [told["example"]]
                schema = {"components": document["components"], **told["schema"]}
                for example in shown:
                    errors = [error.message for error in jsonschema_rs.iter_errors(schema, example)]
                    assert not errors, (path, method, media, errors[:3], example)
                    seen += 1
    assert seen > 200


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referred <= set(schemas)
    assert "HTTPValidationError" not in schemas
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["discriminator"]["mapping"]) >= {"train", "synthesize", "evaluate", "study"}


def test_presets_fit_the_schema_of_a_submission(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for({"components": document["components"], **body})
    for name, preset in PRESETS.items():
        for spec in ({"kind": "study", "preset": name}, {"kind": "study", **preset}):
            assert validator.is_valid(spec), name


def test_the_documentation_needs_nothing_from_outside(visitor: TestClient) -> None:
    page = visitor.get("/docs")
    assert page.status_code == 200
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", page.text)
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
    assert page.text.count("<script>") == 0
    assert f'<script nonce="{nonce}">' in page.text
    for file in re.findall(r"(?:src|href)=\"(/docs/[^\"]+)\"", page.text):
        assert visitor.get(file).status_code == 200, file
    assert visitor.get("/docs/../signing.key").status_code == 404
