"""`sieve submit`: a job from options, which are generated from its spec, or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import click
import yaml

from sieve.cli.durations import Duration
from sieve.cli.options import Word, option_of, spec_options, spec_values
from sieve.cli.terminal import Terminal, duration, size, with_terminal
from sieve.cli.watch import follow
from sieve.errors import Refused
from sieve.specs import (
    FOLLOWUP_PRESETS,
    FOLLOWUP_SUMMARIES,
    PRESET_SUMMARIES,
    DescribeSpec,
    EvaluateSpec,
    GaussianSpec,
    JustBugsSpec,
    LeakageSpec,
    NotRealSpec,
    PlantedTruthSpec,
    PretrainSpec,
    ProbeSpec,
    SignFlipsSpec,
    Spec,
    StudySpec,
    SynthesizeSpec,
    TrainSpec,
    TransferSpec,
    WrongLabelsSpec,
)

PRIORITIES = {"low": -1, "normal": 0, "high": 1}
KINDS: dict[str, type[Spec]] = {
    "train": TrainSpec,
    "synthesize": SynthesizeSpec,
    "evaluate": EvaluateSpec,
    "describe": DescribeSpec,
    "study": StudySpec,
    "transfer": TransferSpec,
    "leakage": LeakageSpec,
    "just_bugs": JustBugsSpec,
    "wrong_labels": WrongLabelsSpec,
    "planted_truth": PlantedTruthSpec,
    "not_real": NotRealSpec,
    "sign_flips": SignFlipsSpec,
    "gaussian": GaussianSpec,
    "pretrain": PretrainSpec,
    "probe": ProbeSpec,
}

SUMMARIES = {
    "train": "Train a network, plainly or adversarially.",
    "synthesize": "Construct a robust or non-robust training set.",
    "evaluate": "Measure a model: clean, under attack, under noise.",
    "describe": "Describe a dataset: balance, pixels, spectrum, neighbours, who reads its labels.",
    "study": "The paper's study, from source models to the report.",
    "transfer": "Study: do networks that adversarial examples fool learn from them?",
    "leakage": "Study: what can be learnt from robust features alone?",
    "just_bugs": "Study: perturbations that do not transfer.",
    "wrong_labels": "Study: learning from another model's mistakes.",
    "planted_truth": "Study: what is kept of planted features.",
    "not_real": "Study: D_R under stronger attacks, D_NR without labels.",
    "sign_flips": "Study: accuracy against attack and noise.",
    "pretrain": "Train an encoder without labels.",
    "gaussian": "Study: two Gaussians and an adversary.",
    "probe": "Fit a linear classifier on frozen features.",
}

MEASURING_SECONDS = 30.0
"""A dry run waits this long for networks that the server has to measure first."""


def _beside() -> list[click.Option]:
    """What may be said of a job of any kind."""
    return [
        click.Option(
            ["--file", "-f", "file"], type=click.File(), help="Take the spec from a YAML or JSON file; - is stdin."
        ),
        click.Option(["--name", "job_name"], default="", help="A name for people."),
        click.Option(["--label", "labels"], multiple=True, metavar="KEY=VALUE", help="A label to find the job by."),
        click.Option(["--priority"], type=Word(list(PRIORITIES)), default="normal", show_default=True),
        click.Option(["--max-queue-time"], type=Duration(), help="Cancel it if it has not started by then."),
        click.Option(["--max-run-time"], type=Duration(), help="Let it fail once it ran for this long: 30m."),
        click.Option(
            ["--shards"],
            metavar="N",
            help="Share a synthesis or an evaluation out among N jobs; auto: one a slot, where it is large.",
        ),
        click.Option(["--idempotency-key"], help="The same key and spec give the same job."),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="Have the spec checked, and print the jobs it would make and what they would take; make none.",
        ),
        click.Option(["--watch", "-w", "watched"], is_flag=True, help="Follow the job until it has ended."),
        click.Option(["--timeout"], type=Duration(), help="Stop watching after this time; the job goes on: 10m."),
    ]


def _submit(kind: str | None) -> Any:
    @with_terminal
    def run(
        terminal: Terminal,
        /,
        *,
        file: IO[str] | None,
        job_name: str,
        labels: tuple[str, ...],
        priority: str,
        max_queue_time: float | None,
        max_run_time: float | None,
        shards: str | None,
        idempotency_key: str | None,
        dry_run: bool,
        watched: bool,
        timeout: float | None,
        **fields: Any,
    ) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is not None:
            return
        if kind is None and file is None:
            raise click.UsageError(f"say what to submit: a file with -f, or one of {', '.join(KINDS)}")
        spec = _merged(_read(file), ({"kind": kind} if kind else {}) | spec_values(fields))
        if shards is not None:
            spec["shards"] = _shards(shards)
        name, of_file = job_name or str(spec.pop("name", "")), spec.pop("labels", {})
        given = _labels(labels)
        with terminal.client() as client:
            try:
                if dry_run:
                    _show_plan(terminal, client.plan(spec, wait=MEASURING_SECONDS))
                    return
                job = client.submit(
                    spec,
                    name=name,
                    labels=of_file | given,
                    priority=int(spec.pop("priority", 0)) or PRIORITIES[priority],
                    max_queue_time=max_queue_time or spec.pop("max_queue_time", None),
                    max_run_time=max_run_time or spec.pop("max_run_time", None),
                    idempotency_key=idempotency_key,
                )
            except Refused as refused:
                if kind is not None and (options := {option_of(error.pointer) for error in refused.errors}):
                    refused.add_note(f"see {', '.join(sorted(options))} in `sieve submit {kind} --help`")
                raise
            if watched:
                terminal.hint(job.id)
                follow(terminal, job, timeout)
            elif terminal.json:
                terminal.values(job.to_dict())
            else:
                terminal.say(job.id)
                terminal.hint(f"follow it: sieve watch {job.id}")

    return run


def _help_all(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        for parameter in context.command.params:
            if isinstance(parameter, click.Option):
                parameter.hidden = False
        click.echo(context.get_help())
        context.exit()


def _with_options(command: click.Command, options: list[click.Option]) -> click.Command:
    command.params = [*options, *command.params]
    return command


def _kind_command(kind: str, spec: type[Spec]) -> click.Command:
    options = spec_options(spec)
    summary = " ".join((spec.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
    said = PRESET_SUMMARIES if kind == "study" else FOLLOWUP_SUMMARIES
    if presets := (PRESET_SUMMARIES if kind == "study" else FOLLOWUP_PRESETS.get(kind)):
        summary += "\n\nPresets: " + "; ".join(f"{name} ({said[name]})" for name in presets) + "."
    if any(option.hidden for option in options):
        summary += "\n\nOptions of inner objects, such as --training.epochs, are listed by --help-all."
        options.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                help="Show every option and exit.",
                is_eager=True,
                expose_value=False,
                callback=_help_all,
            )
        )
    return _with_options(
        click.command(kind, help=summary, short_help=SUMMARIES[kind])(_submit(kind)), [*options, *_beside()]
    )


submit = click.Group(
    "submit",
    callback=(_group_run := _submit(None)),
    params=[*_beside(), *_group_run.__click_params__[::-1]],
    invoke_without_command=True,
    help="Submit a job: from options, or from a file with -f.",
    commands=[_kind_command(kind, spec) for kind, spec in KINDS.items()],
)


def _read(file: IO[str] | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise click.UsageError(f"{file.name} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise click.UsageError(f"{file.name} holds no spec: a mapping with a kind")
    return values


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Options over a file: objects key by key; a reference written as a bare name becomes an object first."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, str):
            below = {"name": below}
        merged[key] = _merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _shards(given: str) -> int | str:
    if given != "auto" and not given.isdigit():
        raise click.BadParameter(f"{given!r} is neither a number nor auto", param_hint="--shards")
    return given if given == "auto" else int(given)


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise click.BadParameter(f"{wrong[0]!r} is not KEY=VALUE", param_hint="--label")
    return dict(pair.split("=", maxsplit=1) for pair in pairs)


def _show_plan(terminal: Terminal, plan: dict[str, Any]) -> None:
    if terminal.json:
        terminal.values(plan)
        return
    whole = plan["estimate"]
    total = {"kind": "total", "node": None, "estimate": whole}
    several = len(plan["jobs"]) > 1
    columns = ("kind", "node", "time", "between", "memory", "disk")
    spare = ("disk", "between", "memory", "kind")
    terminal.rows([*plan["jobs"], *([total] if several else [])], columns, _plan_row, id_=_node, spare=spare)
    terminal.hint(_basis(plan["jobs"], whole))
    terminal.hint("the spec is in order; nothing was submitted")


def _node(job: dict[str, Any]) -> str:
    """What a quiet dry run says of a job: its name in the study's graph, of a job alone its kind."""
    return str(job["node"] or job["kind"])


def _plan_row(job: dict[str, Any]) -> tuple[str, ...]:
    estimate = job["estimate"]
    seconds, memory, disk = estimate["seconds"], estimate["memory_bytes"], estimate["disk_bytes"]
    if seconds is None:
        return job["kind"], job["node"] or "", "not known", "", "", ""
    between = f"{duration(seconds['low'])} - {duration(seconds['high'])}"
    return job["kind"], job["node"] or "", duration(seconds["value"]), between, size(memory["value"]), size(disk)


def _basis(jobs: list[dict[str, Any]], whole: dict[str, Any]) -> str:
    """What the estimate rests on, or why there is none."""
    if whole["missing"] is not None:
        return f"no estimate of the whole: {whole['missing']}"
    past = [job["estimate"]["past_jobs"] for job in jobs]
    slots = f"{whole['slots']} free slots" if whole["slots"] > 1 else "a free slot"
    basis = f"on {slots} of {whole['host']} ({whole['device']}), by its measured rates"
    if not any(past):
        return f"{basis}; there are no past jobs to learn from yet"
    return f"{basis} and {max(past)} past jobs" + ("" if all(past) else "; for some kinds of job there are none")
