"""Job kind `study`: the paper's study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import Catalogue, JobKind
from core.kinds import train
from core.planning import check_attacks, dataset_card
from core.studies import main_study
from sieve.specs import StudySpec, TrainSpec


def check(spec: StudySpec, catalogue: Catalogue) -> None:
    """Dataset, architecture and attacks exist and fit; the rest follows from the graph."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)
    check_attacks(spec.evaluation, "/evaluation")


ENTRY = JobKind(
    name="study",
    summary="the paper's study: two sources, four constructed datasets, a model trained on each, all judged",
    spec=StudySpec,
    slot="none",
    check=check,
    expand=main_study,
)
