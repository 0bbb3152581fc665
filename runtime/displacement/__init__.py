"""Displacement of every configured region on every frame, from raw pictures.

A frame visits ``tracker.py`` (each region against its own template: ``batch.py`` with the step of
``template.py``), ``shake.py`` (what reference regions show of the camera's own motion is taken out) and
``zero.py``. ``meter.py`` puts them together.

Two standard errors are published:

- ``x_se_px`` is for x_px against the true displacement from zero.
- ``x_noise_px`` leaves out what changes slowly or never: zero's own error and its wandering while the
  template follows the light, and references that part slowly. It is what limits the measurement of
  vibrations.

Both come from what each picture's fit leaves unexplained, times the estimator's own response to
noise; for white noise that is the Cramer-Rao bound. Video compression leaves less noise, but
blocks of it that are wrong together; where sums over blocks show it, the errors grow
(cluster-robust variance: Liang and Zeger, Biometrika 73, 1986). No residual can show what a codec
takes away evenly: H.264 drops much of a motion of some hundredths of a pixel, and what is left
reads too small. Its key frames show how much (``codec.py``), which is in ``x_se_px``.
"""

from runtime.displacement.displacement import Displacement as Displacement
from runtime.displacement.meter import DisplacementMeter as DisplacementMeter
from runtime.displacement.template_keeper import LEARNED_PICTURES as LEARNED_PICTURES
from runtime.displacement.tracker import LARGEST_MOTION_PX as LARGEST_MOTION_PX
from runtime.displacement.tracker import LARGEST_SE_PX as LARGEST_SE_PX
