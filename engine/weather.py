"""Weather and times of day as plain picture operations, for the start of an edit that asks for them."""

from collections.abc import Callable, Mapping

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

from engine.drawings import draw_as


def put_weather(name: str, picture: Tensor, figure: Tensor) -> Tensor:
    """Put weather or a time of day, one of `WEATHER`, into a picture (1, 3, h, w); (1, 1, h, w) is 1 on its thing."""
    return WEATHER[name](picture, figure).clamp(0, 1)


def _colour(picture: Tensor, red: float, green: float, blue: float) -> Tensor:
    return picture.new_tensor((red, green, blue)).view(1, 3, 1, 1)


def _down(picture: Tensor) -> Tensor:
    """Return 0 at the top to 1 at the bottom, (1, 1, h, 1)."""
    return torch.linspace(0, 1, picture.shape[-2], device=picture.device).view(1, 1, -1, 1)


def _flecks(picture: Tensor, share: float, long: int) -> Tensor:
    """Return random flecks, `long` pixels high and the same every time, (1, 1, h, w) in [0, 1]."""
    height, width = picture.shape[-2:]
    size = max(1, round(min(height, width) / 110))
    rng = torch.Generator().manual_seed(3)
    coarse = (torch.rand(1, 1, height // size + 1, width // size + 1, generator=rng) < share).float()
    fine = coarse.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :height, :width]
    fallen = torch.nn.functional.max_pool2d(fine, (2 * long * size + 1, 1), 1, (long * size, 0)) if long else fine
    return fallen.to(picture.device)


def _night(picture: Tensor, figure: Tensor) -> Tensor:
    del figure
    return draw_as("night", picture)


def _sunset(picture: Tensor, figure: Tensor) -> Tensor:
    """Warm light, and a sky that goes from violet to orange."""
    down = _down(picture)
    sky = _colour(picture, 0.62, 0.36, 0.5) * (1 - down) + _colour(picture, 1.0, 0.6, 0.28) * down
    lit = picture * _colour(picture, 1.0, 0.72, 0.5)
    behind = 0.4 * lit + 0.6 * sky * (0.45 + 0.55 * rgb_to_grayscale(picture))
    return torch.lerp(behind, 0.85 * lit + 0.08, figure)


def _fog(picture: Tensor, figure: Tensor) -> Tensor:
    """Pale grey over all, thicker behind."""
    grey = 0.5 * picture + 0.5 * rgb_to_grayscale(picture)
    mist = _colour(picture, 0.84, 0.86, 0.88)
    return torch.lerp(torch.lerp(grey, mist, 0.72), torch.lerp(grey, mist, 0.42), figure)


def _rain(picture: Tensor, figure: Tensor) -> Tensor:
    """Grey and dim, with streaks."""
    grey = (0.55 * picture + 0.45 * rgb_to_grayscale(picture)) * _colour(picture, 0.62, 0.67, 0.75)
    dull = torch.lerp(0.6 * grey + 0.4 * _colour(picture, 0.42, 0.46, 0.52), grey + 0.06, figure)
    return torch.lerp(dull, _colour(picture, 0.8, 0.86, 0.92).expand_as(dull), 0.45 * _flecks(picture, 0.006, 4))


def _snow(picture: Tensor, figure: Tensor) -> Tensor:
    """White below, pale above, and flakes in the air."""
    down, light = _down(picture), rgb_to_grayscale(picture)
    pale = torch.lerp(picture, light.expand_as(picture), 0.6)
    fallen = ((down - 0.45) * 12).sigmoid() * (1 - figure)
    white = _colour(picture, 0.93, 0.95, 0.98) - 0.08 * (1 - light)
    lit = torch.lerp(0.6 * pale + 0.32, white, 0.92 * fallen)
    lit = torch.lerp(lit, 0.85 * picture + 0.12, figure)
    return torch.lerp(lit, torch.ones_like(lit), 0.9 * _flecks(picture, 0.012, 0))


WEATHER: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "night": _night,
    "sunset": _sunset,
    "fog": _fog,
    "rain": _rain,
    "snow": _snow,
}
