"""Learning rates over a training, as fractions of the peak."""

from __future__ import annotations

from sieve.specs import Constant, OneCycle, Schedule, StepDecay


def relative_rates(schedule: Schedule, steps: int) -> list[float]:
    """The learning rate of each of `steps` steps, as a fraction of the peak."""
    return [_relative_rate(schedule, step, steps) for step in range(steps)]


def _relative_rate(schedule: Schedule, step: int, steps: int) -> float:
    match schedule:
        case OneCycle(warmup=warmup):
            # Sampled in the middle of each step, so that neither the first nor the last step is wasted on a rate of 0.
            done = (step + 0.5) / steps
            return done / warmup if done < warmup else (1 - done) / (1 - warmup)
        case StepDecay(milestones=milestones, factor=factor):
            passed = sum(step >= milestone * steps for milestone in milestones)
            return float(factor**passed)
        case Constant():
            return 1.0
