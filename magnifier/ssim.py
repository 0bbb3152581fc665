"""Structural similarity as a differentiable loss; evaluation uses scikit-image's."""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW_PX = 11
SIGMA_PX = 1.5


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean SSIM of two batches (batch, channels, height, width) in [-1, 1], 1 when equal.

    Wang et al. 2004: Gaussian window of 11 px, sigma 1.5 px, K1 = .01, K2 = .03, dynamic range 2.
    """
    channels = a.shape[1]
    offsets = torch.arange(WINDOW_PX, dtype=a.dtype, device=a.device) - WINDOW_PX // 2
    line = torch.exp(-0.5 * (offsets / SIGMA_PX) ** 2)
    line = (line / line.sum()).expand(channels, 1, 1, WINDOW_PX)

    def blurred(x: Tensor) -> Tensor:
        across = F.conv2d(x, line, groups=channels)
        return F.conv2d(across, line.transpose(2, 3), groups=channels)

    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a * a) - mean_a**2
    variance_b = blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).mean()
