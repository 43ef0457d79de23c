"""Command options are generated from the specs, and give back what the specs take."""

from __future__ import annotations

from typing import Any

import click
import pytest
from pydantic import ValidationError

from sieve.cli.options import option_of, spec_options, spec_values
from sieve.cli.submit import KINDS, submit
from sieve.specs import EvaluateSpec, Spec, StudySpec, SynthesizeSpec, TrainSpec


def parsed(kind: str, *arguments: str) -> dict[str, Any]:
    """The values that a command line gives."""
    options = spec_options(KINDS[kind])
    command = click.Command(kind, params=[*options])
    context = command.make_context(kind, list(arguments))
    return spec_values(context.params)


def test_what_is_not_given_is_not_sent() -> None:
    assert parsed("train") == {}
    assert parsed("study", "--preset", "digits") == {"preset": "digits"}


def test_a_training() -> None:
    values = parsed(
        "train",
        *("--dataset", "digits", "--dataset.options", "size=16", "--dataset.limit-train", "500"),
        *("--architecture", "convnet", "--architecture.options", "widths=[8, 16]"),
        *("--epochs", "5", "--adversary.epsilon", "0.5", "--adversary.random-start", "--no-flip"),
        *("--schedule.name", "step", "--schedule.milestones", "0.2,0.4"),
    )
    spec = TrainSpec.model_validate(values)
    assert spec.dataset.model_dump() == {
        "name": "digits",
        "options": {"size": 16},
        "limit_train": 500,
        "limit_test": None,
    }
    assert spec.architecture.options == {"widths": (8, 16)}
    assert spec.adversary is not None
    assert (spec.adversary.epsilon, spec.adversary.random_start, spec.flip) == (0.5, True, False)
    assert spec.schedule.model_dump()["milestones"] == (0.2, 0.4)


def test_lists_are_separated_by_commas_or_repeated() -> None:
    assert parsed("study", "--seeds", "0,1,2") == {"seeds": [0, 1, 2]}
    assert parsed("study", "--seed", "0", "--seed", "7") == {"seeds": [0, 7]}


def test_a_union_is_the_options_of_its_branches() -> None:
    values = parsed(
        *("synthesize", "--dataset", "digits", "--model", "mdl_1"),
        *("--construction.method", "random_target", "--construction.epsilon", "1"),
    )
    spec = SynthesizeSpec.model_validate(values)
    assert spec.construction.model_dump(include={"method", "epsilon"}) == {"method": "random_target", "epsilon": 1.0}


def test_what_is_deeper_is_yaml() -> None:
    values = parsed(
        *("evaluate", "--dataset", "digits", "--model", "mdl_1", "--noise", "0.1"),
        *("--threats", "[{norm: linf, epsilons: [0.1, 0.2]}]", "--attacks", "pgd", "--readings", "[ds_1, ds_2]"),
        *("--attacks", "{name: pgd, options: {loss: margin}}"),
    )
    spec = EvaluateSpec.model_validate(values)
    assert spec.threats[0].epsilons == (0.1, 0.2)
    assert [attack.options for attack in spec.attacks] == [{}, {"loss": "margin"}]
    assert [str(reading) for reading in spec.readings] == ["ds_1", "ds_2"]


def test_inner_options_go_into_a_preset() -> None:
    values = parsed("study", "--preset", "digits", "--training.epochs", "3", "--architecture.options", "widths=[4,8]")
    spec = StudySpec.model_validate(values)
    assert (spec.training.epochs, spec.training.batch_size) == (3, 64)
    assert spec.architecture.options == {"widths": (4, 8), "strides": (1, 2, 1)}


_SAMPLES = {"integer": "2", "float": "0.5", "text": "x", "list": "1", "yaml": "[]", "boolean": None}


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_sets_a_field_that_there_is(kind: str) -> None:
    for option in spec_options(KINDS[kind]):
        sample = "key=1" if option.metavar == "KEY=VALUE" else _SAMPLES.get(option.type.name, "x")
        if isinstance(option.type, click.Choice):
            sample = str(option.type.choices[0])
        values = parsed(kind, option.opts[0], *([] if sample is None else [sample]))
        try:
            KINDS[kind].model_validate(values)
        except ValidationError as error:
            strangers = [found["loc"] for found in error.errors() if found["type"] == "extra_forbidden"]
            assert not [where for where in strangers if "options" not in where], option.opts


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_options_share_a_name(kind: str) -> None:
    flags = [flag for parameter in submit.commands[kind].params for flag in parameter.opts + parameter.secondary_opts]
    assert len(flags) == len(set(flags))


def fields(spec: type[Spec]) -> set[str]:
    return set(spec.model_fields) - {"kind"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_an_option(kind: str) -> None:
    heads = {option.opts[0].removeprefix("--").split(".")[0].replace("-", "_") for option in spec_options(KINDS[kind])}
    assert heads == fields(KINDS[kind])


def test_help_says_what_the_specs_say(capsys: pytest.CaptureFixture[str]) -> None:
    from sieve.cli import run

    assert run(["submit", "train", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--epochs INTEGER Passes over the training images. [default: 40]" in shown
    assert run(["submit", "study", "--help"]) == 0
    assert "--training.epochs INTEGER" not in capsys.readouterr().out
    assert run(["submit", "study", "--help-all"]) == 0
    assert "--training.epochs INTEGER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pointer", "option"),
    [
        ("/epochs", "--epochs"),
        ("/adversary/relative_step", "--adversary.relative-step"),
        ("/dataset/name", "--dataset"),
        ("/evaluation/attacks/0/name", "--evaluation.attacks"),
        ("/architecture/options/width", "--architecture.options"),
    ],
)
def test_a_refused_field_leads_to_its_option(pointer: str, option: str) -> None:
    assert option_of(pointer) == option
