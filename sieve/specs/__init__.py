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
from sieve.specs.conclusion import ConclusionPart, ConclusionSpec
from sieve.specs.decode import DecodeSpec
from sieve.specs.describe import DescribeSpec, RoundingTrial
from sieve.specs.evaluate import EvaluateSpec, EvaluationRecipe
from sieve.specs.export import ExportSpec, FormatName
from sieve.specs.followups.base import FollowUp
from sieve.specs.followups.gaussian import GaussianSpec
from sieve.specs.followups.just_bugs import JustBugsSpec
from sieve.specs.followups.leakage import LeakageSpec
from sieve.specs.followups.not_real import NotRealSpec
from sieve.specs.followups.planted_truth import PlantedTruthSpec
from sieve.specs.followups.presets import FOLLOWUP_PRESETS, FOLLOWUP_SUMMARIES
from sieve.specs.followups.sign_flips import SignFlipsSpec
from sieve.specs.followups.transfer import TransferSpec
from sieve.specs.followups.wrong_labels import WrongLabelsSpec
from sieve.specs.gaussian_fit import GaussianFitSpec
from sieve.specs.ingest import IngestSpec
from sieve.specs.ingest_model import IngestModelSpec
from sieve.specs.presets import PRESET_SUMMARIES, PRESETS
from sieve.specs.pretrain import PretrainRecipe, PretrainSpec
from sieve.specs.probe import LinearFeatures, PenultimateFeatures, ProbeSpec
from sieve.specs.report import ReportPart, ReportSpec
from sieve.specs.shard import ShardSpec
from sieve.specs.study import StudySpec
from sieve.specs.synthesize import (
    Construction,
    DeterministicTargetConstruction,
    ErrorsConstruction,
    RandomTargetConstruction,
    RobustConstruction,
    SynthesizeSpec,
    TargetedConstruction,
    UntransferableConstruction,
)
from sieve.specs.train import (
    ChooseSpec,
    Constant,
    CrossEntropy,
    Objective,
    OneCycle,
    Schedule,
    StepDecay,
    Trades,
    TrainingRecipe,
    TrainSpec,
)

__all__ = [
    "FOLLOWUP_PRESETS",
    "FOLLOWUP_SUMMARIES",
    "PGD",
    "PRESETS",
    "PRESET_SUMMARIES",
    "ArchitectureRef",
    "AttackRef",
    "ChooseSpec",
    "ConclusionPart",
    "ConclusionSpec",
    "Constant",
    "Construction",
    "CrossEntropy",
    "DatasetRef",
    "DecodeSpec",
    "DescribeSpec",
    "DeterministicTargetConstruction",
    "ErrorsConstruction",
    "EvaluateSpec",
    "EvaluationRecipe",
    "ExportSpec",
    "FollowUp",
    "FormatName",
    "GaussianFitSpec",
    "GaussianSpec",
    "IngestModelSpec",
    "IngestSpec",
    "JobRef",
    "JustBugsSpec",
    "LeakageSpec",
    "LinearFeatures",
    "ModelRef",
    "Norm",
    "NotRealSpec",
    "Objective",
    "OneCycle",
    "PenultimateFeatures",
    "PlantedTruthSpec",
    "Precision",
    "PretrainRecipe",
    "PretrainSpec",
    "ProbeSpec",
    "RandomTargetConstruction",
    "Reference",
    "ReportPart",
    "ReportSpec",
    "RobustConstruction",
    "RoundingTrial",
    "Schedule",
    "ShardSpec",
    "SignFlipsSpec",
    "Spec",
    "StepDecay",
    "StudySpec",
    "SynthesizeSpec",
    "TargetedConstruction",
    "Threat",
    "Trades",
    "TrainSpec",
    "TrainingRecipe",
    "TransferSpec",
    "UntransferableConstruction",
    "UploadRef",
    "WrongLabelsSpec",
]
