"""See the package's docstring."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.config import (
    ChecksConfig,
    CoveragePhaseConfig,
    ExamplesPhaseConfig,
    FuzzingPhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
    StatefulPhaseConfig,
)
from schemathesis.engine import Status, events, from_schema
from schemathesis.generation import GenerationMode

import tests.fuzz as package
from tests.fuzz.seeds import Seeds
from tests.fuzz.stage import Stage, raised
from tests.working import ROOT

OUT = ROOT / "out" / "fuzz.json"
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
CONFORMANCE = frozenset(
    {
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
    }
)
"""Checks of whether an answer is as the document says."""
ROUNDS = (
    ("member", list(GenerationMode)),
    ("admin", list(GenerationMode)),
    ("admin", [GenerationMode.POSITIVE]),  # much only an admin may do: else it would mostly be refused
)
REACHED = 0.2
"""Part of an operation's cases that must end well, for the operation to count as reached."""


@dataclass
class Tally:
    """What came of all requests."""

    cases: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each sort of failure, one."""

    def answered(self, operation: str, status: int) -> None:
        """Count a request."""
        self.cases[operation] += 1
        self.good[operation] += 200 <= status < 300
        self.statuses[status] += 1

    def failed(self, check: str, operation: str, told: dict[str, Any]) -> None:
        """Count what a check found."""
        self.failures[check] += 1
        self.examples.setdefault(f"{check} {operation} {told['status']}", told)

    def summary(self, operations: list[str]) -> dict[str, Any]:
        """What `out/fuzz.json` says."""
        reached = [one for one in operations if self.good[one] >= REACHED * self.cases[one] > 0]
        return {
            "cases": sum(self.cases.values()),
            "server_errors": sum(count for status, count in self.statuses.items() if status >= 500),
            "undocumented": sum(self.failures[check] for check in CONFORMANCE),
            "operations": len(operations),
            "operations_reached": len(reached),
            "not_reached": {one: f"{self.good[one]} of {self.cases[one]}" for one in operations if one not in reached},
            "other_failures": {check: count for check, count in self.failures.items() if check not in CONFORMANCE},
            "statuses": dict(sorted(self.statuses.items())),
            "examples": self.examples,
        }


def configured(
    url: str, key: str, *, examples: int, walks: int, coverage: bool, modes: list[GenerationMode], seed: int
) -> SchemathesisConfig:
    """How schemathesis is to go about it."""
    phases = PhasesConfig(
        examples=ExamplesPhaseConfig(),
        coverage=CoveragePhaseConfig(enabled=coverage, unexpected_methods={"put", "trace"}),
        fuzzing=FuzzingPhaseConfig(generation=GenerationConfig(modes=modes, max_examples=examples, no_shrink=True)),
        stateful=StatefulPhaseConfig(
            max_steps=8, generation=GenerationConfig(modes=modes, max_examples=walks, no_shrink=True)
        ),
    )
    checks = ChecksConfig()
    for name in (
        "positive_data_acceptance",
        "negative_data_rejection",
        "use_after_free",
        "max_response_time",
        "ensure_resource_availability",
        "missing_required_header",
    ):  # seeds change what they judge by
        getattr(checks, name).enabled = False
    project = ProjectConfig(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        continue_on_failure=True,
        request_timeout=20,
        max_redirects=0,
        phases=phases,
        checks=checks,
        generation=GenerationConfig(modes=modes, no_shrink=True, with_security_parameters=False),
    )
    return SchemathesisConfig(seed=seed, projects=ProjectsConfig(default=project))


def attack(stage: Stage, identity: str, tally: Tally, *, seed: int, **how: Any) -> list[str]:
    """Fuzz as one identity. Gives the names of all operations."""
    key = stage.key_of(identity)
    seeds = Seeds(stage, identity, random.Random(seed))
    schemathesis.hooks.unregister_all()

    @schemathesis.hook
    def before_call(context: Any, case: Any, kwargs: Any) -> None:
        seeds.seed(case, negative=case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE)

    @schemathesis.hook
    def after_call(context: Any, case: Any, response: Any) -> None:
        tally.answered(case.operation.label, response.status_code)
        if case.operation.label.startswith("PATCH /v1/policy") or response.status_code == 401:
            seeds.mend()

    config = configured(stage.url, key, seed=seed, **how)
    schema = schemathesis.openapi.from_url(f"{stage.url}/openapi.json", config=config)
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _judge(event, tally)
        elif isinstance(event, events.PhaseFinished):
            said = {"phase": event.phase.name.value, "as": identity, "cases": sum(tally.cases.values())}
            print(json.dumps(said | {"failures": dict(tally.failures)}), file=sys.stderr, flush=True)
        elif isinstance(event, events.NonFatalError):
            tally.failed("error", event.label, {"status": 0, "message": str(event.value)[:2000]})
        elif isinstance(event, events.FatalError):
            raise event.exception
    return sorted(found.ok().label for found in schema.get_all_operations() if found.ok() is not None)


def _judge(event: events.ScenarioFinished, tally: Tally) -> None:
    recorder = event.recorder
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status != Status.FAILURE:
                continue
            case, interaction = recorder.cases[case_id].value, recorder.interactions.get(case_id)
            answer = interaction.response if interaction is not None else None
            failure = check.failure_info.failure if check.failure_info is not None else None
            told = {
                "identity_phase": str(event.phase.value),
                "status": answer.status_code if answer is not None else 0,
                "request": f"{case.method} {case.formatted_path} {case.query} {str(case.body)[:600]}",
                "headers": str(dict(case.headers or {}))[:300],
                "message": str(failure)[:1500],
                "answer": (answer.content or b"")[:600].decode("utf-8", "replace") if answer is not None else "",
            }
            tally.failed(check.name, case.operation.label, told)


def main() -> None:
    """Fuzz, write what came of it, and fail if it is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=str(package.__doc__).partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="within a minute, as CI does")
    parser.add_argument("--coverage", action="store_true", help="with boundary values of every field, which takes long")
    parser.add_argument("--examples", type=int, help="of each operation and identity")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as", dest="identities", choices=["member", "admin"], action="append", help="both, if absent")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    examples = asked.examples or (2 if asked.short else 200)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing that was started is left running
    began, tally, operations = time.monotonic(), Tally(), list[str]()
    with raised() as stage:
        for number, (identity, modes) in enumerate(ROUNDS[:2] if asked.short else ROUNDS):
            if identity in (asked.identities or ("member", "admin")):
                how = {"examples": examples, "walks": examples, "coverage": asked.coverage, "modes": modes}
                operations = attack(stage, identity, tally, seed=asked.seed + number, **how)
        noted = [line for line in stage.log.read_text().splitlines() if "Traceback" in line]
    found = tally.summary(operations)
    found |= {"seconds": round(time.monotonic() - began), "seed": asked.seed, "tracebacks": noted[:20]}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name not in ("examples", "tracebacks")}))
    bad = found["server_errors"] + found["undocumented"]
    few = asked.short or asked.identities  # too few requests to say what is reached
    sys.exit(bool(bad) or (not few and found["operations_reached"] < found["operations"]))


if __name__ == "__main__":
    main()
