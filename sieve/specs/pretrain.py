"""Spec of a self-supervised training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.base import ArchitectureRef, DatasetRef, Seed, Spec


class PretrainRecipe(Spec):
    """How an encoder is trained without labels: SimCLR (Chen et al. 2020) with stochastic gradient descent."""

    epochs: int = Field(default=60, ge=1, le=10_000)
    """Passes over the training images."""
    batch_size: int = Field(default=128, ge=4, le=65_536)
    """Images in a batch; each is seen in two views, and told from all others."""
    learning_rate: float = Field(default=1.0, gt=0, le=100)
    """Peak of a one-cycle schedule."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    temperature: float = Field(default=0.5, gt=0, le=10)
    """Of the contrastive loss."""
    projection: int = Field(default=64, ge=2, le=4096)
    """Width of the projection head, which is thrown away afterwards."""
    turn: float = Field(default=0.2, ge=0, le=3.15)
    """Views are turned by up to this many radians,"""
    shift: float = Field(default=0.12, ge=0, le=1)
    """moved by up to this part of their width and height,"""
    zoom: float = Field(default=0.15, ge=0, lt=1)
    """made larger or smaller by up to this part,"""
    tone: float = Field(default=0.3, ge=0, lt=1)
    """and changed in contrast and brightness by up to this part."""
    flip: bool = False
    """Mirror views left to right with probability 1/2."""


class PretrainSpec(PretrainRecipe):
    """Train an encoder on a dataset's training images without their labels. The model's last layer stays untrained."""

    kind: Literal["pretrain"] = "pretrain"
    dataset: DatasetRef
    """What to train on."""
    architecture: ArchitectureRef
    """The encoder."""
    seed: Seed = 0
    """Fixes initial weights, order and views."""
