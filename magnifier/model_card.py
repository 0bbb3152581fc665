"""The model card of released weights: what they are, from what, and how good, in Markdown."""

import json
from pathlib import Path
from statistics import fmean, median

from atomic_file import replaced
from magnifier import networks, weights
from magnifier.evaluation import Score
from magnifier.photographs import DEBIAN_PACKAGES, HELD_OUT_SHARE


def write(path: Path, source: Path, network: networks.Magnifier, scores: list[Score]) -> None:
    """Write the card from what ``source``, the file of weights, says of itself and the scores just
    measured of its ``network``.
    """
    name, facts = network.name, weights.read(source)[1]
    parameters = sum(each.numel() for each in network.parameters())
    recipe = json.loads(facts["recipe"])
    network_ssim = fmean(score.network_ssim for score in scores)
    input_ssim = fmean(score.input_ssim for score in scores)
    better = sum(score.network_ssim > score.input_ssim for score in scores)
    packages = ", ".join(f"`{package}`" for package in DEBIAN_PACKAGES)
    description = " ".join((network.__doc__ or "").split())
    rows = [
        ("network", f"`{name}`: {description}"),
        ("weights", f"SHA-256 {weights.digest(source)}..."),
        ("parameters", f"{parameters:,}"),
        ("decoder blocks", str(networks.depth(network.state_dict()))),
        (
            "steps",
            f"{weights.trained_steps(facts)} of {recipe['batch']} crops of {recipe['crop_px']} px",
        ),
        ("core-hours", f"{facts['core_hours']}, processor time of all cores added"),
        ("mean SSIM, network", f"{network_ssim:.4f}"),
        ("mean SSIM, unmagnified input", f"{input_ssim:.4f}"),
        (
            "gained",
            f"{network_ssim - input_ssim:+.4f} (better on {better} of {len(scores)} scenes)",
        ),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    gains = sorted(score.gain for score in scores)
    text = f"""# Released weights: {name}

| | |
| --- | --- |
{table}

Written by `tremorscope evaluate --card`; the scores are of {len(scores)} scenes with gains from
{gains[0]:.1f} to {gains[-1]:.1f} (median {median(gains):.1f}), rendered by `tremorscope scenes` from
photographs that are never trained on ({HELD_OUT_SHARE:.0%} of all, chosen by the hash of their file name).

**Data.** Synthetic scenes with exact sub-pixel truth (`magnifier/scenes.py`), cut from photographs in
the Debian packages {packages}, collected by `tremorscope photographs`. Inputs carry Poisson-like noise
of up to 3 grey levels and are dithered to 8 bits.

**Licence of the pictures.** None of them is part of this repository. Each package's `copyright` file,
kept beside the pictures when they are collected, names authors and licences: Creative Commons
Attribution and Attribution-ShareAlike, GPL-2+ and LGPL artwork, and OpenCV's Apache 2.0 samples.

**Use.** To see small motion of textured structures. Numbers come from the measurement on raw
pictures, never from magnified ones. **Limits.** Motions that the gain makes larger than about 30 px;
plain surfaces; what a moving edge uncovers is guessed.
"""
    with replaced(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
