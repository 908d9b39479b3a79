"""AdamW and its learning rate. The rate is a pure function of the step, so there is no scheduler state to save."""

from __future__ import annotations

import math

import torch

from eke.training.job import Job
from eke.training.model import GPT

BETAS = (0.9, 0.95)
CLIP = 1.0  # norm of the gradient at most


def learning_rate(job: Job, step: int) -> float:
    """Rate of step `step` (from 1): a straight line up, then a cosine down to `final_rate` of the highest."""
    warmup = max(1, round(job.warmup * job.steps))
    if step <= warmup:
        return job.learning_rate * step / warmup
    through = min(1.0, (step - warmup) / max(1, job.steps - warmup))
    cosine = (1 + math.cos(math.pi * through)) / 2
    return job.learning_rate * (job.final_rate + (1 - job.final_rate) * cosine)


def make(model: GPT, job: Job) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv:1711.05101); matrices decay, norms do not."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim == 2], "weight_decay": job.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=job.learning_rate, betas=BETAS, fused=True)


def update(model: GPT, optimizer: torch.optim.AdamW, rate: float) -> float:
    """Apply the gradients gathered so far, clipped, and clear them. Returns their norm."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)
