"""The OpenAPI document: FastAPI's, with every error, header and example that an operation has put in."""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems, submission
from api.examples import SUBMISSIONS, example
from api.idempotency import REPLAYED

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_METHODS = ("get", "post", "patch", "delete", "put")
_INTEGER: Json = {"type": "integer", "minimum": 0}
_STRING: Json = {"type": "string"}
_RETRY: Json = {"Retry-After": {"description": "Seconds until it is worth trying again.", "schema": _INTEGER}}
_CHALLENGE: Json = {"WWW-Authenticate": {"description": "How to show a key (RFC 6750).", "schema": _STRING}}
_LOCATION: Json = {"Location": {"description": "Where what was made is.", "schema": _STRING}}
_REPLAYED: Json = {
    REPLAYED: {"description": "`true` where this answer was given before, to the same key.", "schema": _STRING}
}
_OFFSET: Json = {"Upload-Offset": {"description": "Bytes of the file that have arrived.", "schema": _INTEGER}}

_ERRORS: dict[str, tuple[str, str, str, Json]] = {
    "400": ("bad_request", "The body is not what its Content-Type says", "the body cannot be read", {}),
    "401": ("unauthenticated", "No key, or one that is no good", "the key is unknown, expired or revoked", _CHALLENGE),
    "403": ("insufficient_scope", "The key or its user may not do this", "only an admin may do this", {}),
    "404": ("not_found", "There is no such thing, or it is somebody else's", "there is no job job_x", {}),
    "408": ("too_slow", "The body did not arrive in time", "nothing has arrived for 30 s", {}),
    "409": ("illegal_transition", "It does not fit what is there", "the job has ended", _RETRY),
    "413": ("body_too_large", "The body is too large", "a body may have 1048576 bytes", {}),
    "416": ("range_not_satisfiable", "The file has no such range", "the file has 1024 bytes", {}),
    "422": ("invalid", "A field is wrong; `errors` says which", "a field is wrong", {}),
    "429": ("too_many_requests", "Too many requests", "more than 50 requests a second: try again in 1 s", _RETRY),
    "500": ("internal_error", "A fault of the server", "this is a fault of the server; its log says more", {}),
    "503": ("database_unavailable", "The service cannot answer now", "the database cannot be reached now", _RETRY),
}
"""By status: an example's code, what it means, the example's detail, the headers that may come with it."""

_HEADERS: dict[tuple[str, str], Json] = {
    ("show_job", "200"): {
        "Preference-Applied": {"description": "Of `Prefer: wait=N`, what was done.", "schema": _STRING}
    },
    ("show_upload", "200"): _OFFSET,
    ("send_piece", "204"): _OFFSET,
    ("send_piece", "409"): _OFFSET,
    ("export_dataset", "200"): _LOCATION,
    ("download_dataset", "409"): {"Link": {"description": "Where to have it exported.", "schema": _STRING}},
}
_DOWNLOADED: Json = {
    "ETag": {"description": "Its sha256, strong.", "schema": _STRING},
    "Repr-Digest": {"description": "Its sha256 (RFC 9530).", "schema": _STRING},
    "Accept-Ranges": {"description": "`bytes`", "schema": _STRING},
}


def of(app: FastAPI) -> Json:
    """The application's document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        body, definitions = submission.submission_schemas(_REF)
        schemas: Json = made["components"]["schemas"]
        schemas |= definitions
        schemas |= problems.problem_schemas(_REF)
        _name_objects_of_unions(schemas)
        _show_defaults_that_are_objects(schemas)
        for unused in ("HTTPValidationError", "ValidationError"):  # ours are problems
            schemas.pop(unused, None)
        content = {"schema": body, "examples": copy.deepcopy(SUBMISSIONS)}
        made["paths"]["/v1/jobs"]["post"]["requestBody"] = {"required": True, "content": {"application/json": content}}
        _flatten(made)
        for path, operations in made["paths"].items():
            for method in _METHODS:
                if method in operations:
                    _complete(path, method, operations[method], schemas)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(path: str, method: str, operation: Json, schemas: Json) -> None:
    parameters = operation.get("parameters", [])
    if any(parameter["name"] == "signature" for parameter in parameters):
        operation["security"] = [{"HTTPBearer": []}, {}]  # with a key, or with a signed link
    statuses = {"500", "503"}
    if "security" in operation:
        statuses |= {"401", "403", "429"}
    if "{" in path or path.startswith(("/v1/slots/", "/v1/usage")):
        statuses.add("404")
    if parameters:
        statuses.add("422")
    if "requestBody" in operation:
        statuses |= {"400", "408", "413", "422"}
    if method in ("post", "patch", "delete") or path.endswith(("/download", "/report")):
        statuses.add("409")
    answers: Json = operation["responses"]
    answers.pop("4XX", None)
    if "416" in answers:
        statuses.add("416")
        for status in ("200", "206", "304"):
            answers[status]["headers"] = copy.deepcopy(_DOWNLOADED)
    for status in statuses:
        answers[status] = _problem(status)
    name = operation["operationId"]
    for status, answer in answers.items():
        headers = _HEADERS.get((name, status), {}) | (_of_post(name, status) if method == "post" else {})
        if headers:
            answer.setdefault("headers", {}).update(copy.deepcopy(headers))
        _add_example(answer.get("content", {}), schemas)
    _add_example(operation.get("requestBody", {}).get("content", {}), schemas)
    operation["responses"] = dict(sorted(answers.items()))


def _of_post(name: str, status: str) -> Json:
    """Headers of an answer that is no problem."""
    if status > "299":
        return {}
    located = _LOCATION if name in _LOCATED and status != "200" else {}
    return located if name == "submit_job" else located | _REPLAYED  # a job is given as it is now


_LOCATED = frozenset({"submit_job", "export_dataset", "announce_upload", "create_webhook"})


def _problem(status: str) -> Json:
    code, meaning, detail, headers = _ERRORS[status]
    shown: Json = {"type": "about:blank", "title": _TITLES[status], "status": int(status), "detail": detail}
    shown["code"] = code
    if status == "422":
        shown["errors"] = [{"pointer": "/epochs", "message": "input should be greater than or equal to 1"}]
    content = {"schema": {"$ref": _REF.format(model="ProblemDocument")}, "example": shown}
    answer: Json = {"description": meaning, "content": {problems.MEDIA_TYPE: content}}
    if headers:
        answer["headers"] = copy.deepcopy(headers)
    return answer


_TITLES = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "408": "Request Timeout",
    "409": "Conflict",
    "413": "Content Too Large",
    "416": "Range Not Satisfiable",
    "422": "Unprocessable Content",
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "503": "Service Unavailable",
}


def _add_example(content: Json, schemas: Json) -> None:
    told = content.get("application/json")
    if told and "schema" in told and not {"example", "examples"} & set(told):
        told["example"] = example(told["schema"], schemas)


def _flatten(node: Any) -> None:
    """Fixed lists become lists of a fixed length: `prefixItems` is beyond most generators of clients."""
    if isinstance(node, dict):
        if "prefixItems" in node and "items" not in node:
            parts: list[Any] = []
            for part in node.pop("prefixItems"):
                if part not in parts:
                    parts.append(part)
            node["items"] = parts[0] if len(parts) == 1 else {"anyOf": parts}
        for value in node.values():
            _flatten(value)
    elif isinstance(node, list):
        for value in node:
            _flatten(value)


def _name_objects_of_unions(schemas: dict[str, Any]) -> None:
    """Give an object that stands inside a union a name of its own: `ArchitectureRefInFull`.

    Generators of clients make a class of it then; of one without a name some make two that clash.
    """
    for name in list(schemas):
        branches = schemas[name].get("anyOf", [])
        for at, branch in enumerate(branches):
            if str(branch.get("title", "")).endswith(" in full"):
                schemas[f"{name}InFull"] = branch | {"title": f"{name}InFull"}
                branches[at] = {"$ref": _REF.format(model=f"{name}InFull")}


def _show_defaults_that_are_objects(tree: Any) -> None:
    """Defaults that are objects become examples: generators of clients know defaults that are plain values alone."""
    if isinstance(tree, dict):
        if isinstance(tree.get("default"), dict) and ("oneOf" in tree or "anyOf" in tree or "$ref" in tree):
            tree["examples"] = [tree.pop("default")]
        for inner in tree.values():
            _show_defaults_that_are_objects(inner)
    elif isinstance(tree, list):
        for inner in tree:
            _show_defaults_that_are_objects(inner)
