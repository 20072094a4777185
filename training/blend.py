"""Blend a perceptor that learned more with the one it began with: `python -m training.blend BEFORE AFTER SHARE OUT`.

Between the two lie weights that know the new and have forgotten less of the old (Wortsman et al. 2022, WiSE-FT).
"""

import argparse
from pathlib import Path

import torch

from training.networks import read_weights, save_weights

TABLE, ROWS = "token_embedding.weight", "token_rows"


def blend(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Return `share` of one perceptor's tensors and the rest of another's; tokens that only one knows stay."""
    known = dict(zip(before[ROWS].tolist(), before[TABLE], strict=True))
    old = torch.stack([known.get(token, row) for token, row in zip(after[ROWS].tolist(), after[TABLE], strict=True)])
    start = {**before, TABLE: old}
    return {
        name: torch.lerp(start[name], tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in after.items()
    }


def main() -> None:
    """Write the blend from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("share", type=float)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    after, config = read_weights(arguments.after)
    save_weights(arguments.out, blend(read_weights(arguments.before)[0], after, arguments.share), config)


if __name__ == "__main__":
    main()
