"""What `POST /v1/jobs` takes: a spec, and beside its fields a name, labels and a priority."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, create_model
from pydantic.json_schema import models_json_schema

from api.pointers import FieldError, field_errors
from api.problems import Problem, invalid
from core.cards import JobKind
from core.errors import UnknownName
from core.planning import submittable_kinds
from sieve.specs import Spec

Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Labels = Annotated[dict[Annotated[Text, Field(min_length=1)], Text], Field(max_length=32)]
Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]


class Envelope(Spec):
    """What may be said of a job of any kind, beside the fields of its spec."""

    name: Text = ""
    """For people; need not be unique."""
    labels: Labels = Field(default_factory=dict)
    """Words to find jobs by, such as `{"paper": "table-2"}`."""
    priority: int = Field(default=0, ge=-1, le=1)
    """-1 low, 0 normal, 1 high. Low may be paused for a short job of high priority; high counts double in the share."""
    max_queue_time: Seconds | None = None
    """It is cancelled if it has not started this many seconds after it could."""
    max_run_time: Seconds | None = None
    """It fails once it has run for this many seconds; a study, once so many have passed since its start."""
    shards: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = 1
    """Among how many jobs to share out the blocks (256 images each) of a synthesis or an evaluation, of a study each of
    them: every free slot of every host takes one, and the result is the same. `auto`: one a slot, where it is large."""


@dataclass(frozen=True)
class Submission:
    """A body that was understood."""

    spec: Spec
    envelope: Envelope


def parse_submission(body: Any) -> Submission:
    """Understand a body by its `kind`.

    Raises:
        Problem: 422, with every field that is wrong.
        UnknownName: there is no such kind of job.
    """
    kinds = {kind.name: kind for kind in submittable_kinds()}
    if not isinstance(body, dict):
        raise Problem(422, "invalid", "the body must be a JSON object")
    if not isinstance(body.get("kind"), str):
        raise invalid([FieldError(pointer="/kind", message=f"say what kind of job: {', '.join(kinds)}")])
    if body["kind"] not in kinds:
        raise UnknownName("/kind", "kind of job", body["kind"], kinds)
    spec_type = kinds[body["kind"]].spec
    model = submission_model(spec_type)
    try:
        whole = model.model_validate(body)
    except ValidationError as error:
        located = ({**found, "loc": ("body", *found["loc"])} for found in error.errors(include_url=False))
        raise invalid(field_errors(located, body, model)) from None
    return Submission(_part(whole, spec_type), _part(whole, Envelope))


def submission_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON schema of the body (one branch a kind, by `kind`), and the definitions that it refers to."""
    kinds = submittable_kinds()
    models = {kind.name: submission_model(kind.spec) for kind in kinds}
    _, document = models_json_schema([(model, "validation") for model in models.values()], ref_template=ref_template)
    for model in models.values():
        document["$defs"][model.__name__].setdefault("required", []).append("kind")
    refs = {name: ref_template.format(model=model.__name__) for name, model in models.items()}
    body = {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "kind", "mapping": refs},
    }
    return body, document["$defs"]


def check_kinds(kinds: Iterable[JobKind]) -> None:
    """See that no kind's spec takes a name that the envelope uses: the two share one object."""
    for kind in kinds:
        taken = set(kind.spec.model_fields) & set(Envelope.model_fields)
        if taken:
            raise RuntimeError(f"the spec of {kind.name!r} may not have a field called {', '.join(sorted(taken))}")


@lru_cache
def submission_model(spec_type: type[Spec]) -> type[Spec]:
    """The spec with the envelope's fields: one flat object, pleasant to write by hand."""
    name = spec_type.__name__.removesuffix("Spec") + "Submission"
    return create_model(name, __base__=(spec_type, Envelope), __doc__=spec_type.__doc__)


def _part(whole: Spec, part: Any) -> Any:
    """Those fields of a checked object that belong to `part`."""
    fields = {name: getattr(whole, name) for name in part.model_fields}
    return part.model_construct(_fields_set=whole.model_fields_set & set(fields), **fields)
