"""A small policy that predicts, as a checkpoint with statistics, and hands to start from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from policy_makers import tiny_policy

from vitra_lib.dataset import Normaliser
from vitra_lib.geometry.rotations import exp
from vitra_lib.policy.checkpoint import save_policy
from vitra_lib.policy.hand_state import HandState
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import STATISTICS
from vitra_lib.policy.processor import Processor


def small_policy() -> Policy:
    """A policy with the shipped tokenizer's vocabulary; always the same."""
    processor, pattern = Processor(), tiny_policy()
    ids = {"vocabulary": processor.vocabulary, "image_token_id": processor.image_token_id}
    backbone = replace(pattern.config.backbone, **ids)
    torch.manual_seed(0)
    policy = Policy(replace(pattern.config, backbone=backbone)).eval()
    with torch.no_grad():
        for parameter in policy.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def make_normaliser(dt_m: float = 0.0, spread: float = 0.01) -> Normaliser:
    """Statistics under which every step moves the wrists by `dt_m` along x, give or take `spread`."""
    action_mean = np.zeros(102)
    action_mean[[0, 51]] = dt_m
    return Normaliser(np.zeros(122), np.ones(122), action_mean, np.full(102, spread), "made", 1)


def make_checkpoint(folder: Path, normaliser: Normaliser | None) -> Path:
    """A checkpoint, with statistics unless None."""
    save_policy(small_policy(), folder, {} if normaliser is None else {STATISTICS: normaliser.to_official()})
    return folder


def make_state(known: tuple[bool, bool] = (True, True), fov_deg: float | None = 70.0) -> HandState:
    """Two hands half a metre in front of the camera."""
    rng = np.random.default_rng(0)
    is_known = np.array(known)
    eye = np.eye(3)
    return HandState(
        is_known,
        np.where(is_known[:, None, None], exp(rng.normal(0, 0.5, (2, 3))), eye),
        np.where(is_known[:, None], np.array([[-0.1, 0.1, 0.5], [0.1, 0.1, 0.5]]), 0.0),
        np.where(is_known[:, None, None, None], exp(rng.normal(0, 0.2, (2, 15, 3))), eye),
        np.zeros((2, 10)),
        "standin",
        None if fov_deg is None else float(np.deg2rad(fov_deg)),
    )
