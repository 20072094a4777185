"""Films of a painting that moves: each frame is a few steps on the picture before, zoomed, turned or shifted."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.prompts import Prompt
from engine.spec import Motion


def is_frame(motion: Motion, step: int) -> bool:
    """Return whether a frame is finished with this step, from 1."""
    return step >= motion.begin and (step - motion.begin) % motion.each == 0


def seconds_at(motion: Motion, step: int) -> float:
    """Return which second of the film the step after `step` others is for."""
    return max(0, step - motion.begin) / motion.each / motion.fps


def active(prompts: tuple[Prompt, ...], seconds: float) -> tuple[Prompt, ...]:
    """Return the prompts of a moment: those for all the time, and those of the latest time that has come."""
    times = [prompt.since for prompt in prompts if prompt.since is not None and prompt.since <= seconds]
    return tuple(prompt for prompt in prompts if prompt.since is None or (times and prompt.since == max(times)))


def moved(pictures: Tensor, motion: Motion) -> Tensor:
    """Move pictures (b, 3, h, w) by what one frame takes; what comes in at the edges mirrors what is there."""
    height, width = pictures.shape[-2:]
    zoom, turn = motion.zoom ** (1 / motion.fps), math.radians(motion.turn / motion.fps)
    cos, sin, aspect = math.cos(turn) / zoom, math.sin(turn) / zoom, height / width
    # From where each pixel comes, in coordinates from -1 to 1; right and down move the picture's content.
    rows = ((cos, sin * aspect, -2 * motion.right / motion.fps), (-sin / aspect, cos, -2 * motion.down / motion.fps))
    matrix = torch.tensor([rows], device=pictures.device).expand(len(pictures), -1, -1)
    places = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, places, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)
