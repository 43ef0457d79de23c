"""Job specs: frozen models, one file a job kind. The one source of API schema, command options, forms and docs."""

from sieve.specs.attack import PGD, Threat
from sieve.specs.base import (
    ArchitectureRef,
    AttackRef,
    DatasetRef,
    JobRef,
    ModelRef,
    Norm,
    Precision,
    Reference,
    Spec,
    UploadRef,
)
from sieve.specs.evaluate import EvaluateSpec, EvaluationRecipe
from sieve.specs.export import ExportSpec, FormatName
from sieve.specs.ingest import IngestSpec
from sieve.specs.presets import PRESET_SUMMARIES, PRESETS
from sieve.specs.report import ReportPart, ReportSpec
from sieve.specs.shard import ShardSpec
from sieve.specs.study import StudySpec
from sieve.specs.synthesize import (
    Construction,
    DeterministicTargetConstruction,
    RandomTargetConstruction,
    RobustConstruction,
    SynthesizeSpec,
)
from sieve.specs.train import Constant, OneCycle, Schedule, StepDecay, TrainingRecipe, TrainSpec

__all__ = [
    "PGD",
    "PRESETS",
    "PRESET_SUMMARIES",
    "ArchitectureRef",
    "AttackRef",
    "Constant",
    "Construction",
    "DatasetRef",
    "DeterministicTargetConstruction",
    "EvaluateSpec",
    "EvaluationRecipe",
    "ExportSpec",
    "FormatName",
    "IngestSpec",
    "JobRef",
    "ModelRef",
    "Norm",
    "OneCycle",
    "Precision",
    "RandomTargetConstruction",
    "Reference",
    "ReportPart",
    "ReportSpec",
    "RobustConstruction",
    "Schedule",
    "ShardSpec",
    "Spec",
    "StepDecay",
    "StudySpec",
    "SynthesizeSpec",
    "Threat",
    "TrainSpec",
    "TrainingRecipe",
    "UploadRef",
]
