"""The README's picture: raw beside magnified, and what one column of each does over time.

    python -m benchmarks.picture

writes ``docs/raw-and-magnified.png`` from the sample clip, with the settings of ``tremorscope demo``. Its
text "weights" names those of the network, by their SHA-256.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atomic_file import replaced
from export.artifact import checked
from runtime.assembly import magnifier_for
from runtime.camera.video_file import VideoFile
from runtime.clips import write_text
from runtime.demo.demo import SAMPLE, demo_config, read_truth
from runtime.engine.onnx_runtime import SHIPPED

OUT = Path(__file__).resolve().parents[1] / "docs" / "raw-and-magnified.png"
ROWS = slice(104, 264)
COLUMN_PX = 320
SLICE_S = (2.0, 8.0)


def main() -> None:
    truth = read_truth()
    config = demo_config(truth, 1883, Path("unused"))
    magnifier = magnifier_for(config)
    assert magnifier is not None
    pairs, best, lowest_px = [], None, 0.0
    with VideoFile(SAMPLE, real_time=False) as source:
        for frame in source.frames():
            shown = magnifier.process(frame).picture
            t_s = frame.t_capture_ns / 1e9
            if SLICE_S[0] <= t_s < SLICE_S[1]:
                pairs.append((frame.image[ROWS, COLUMN_PX], shown[ROWS, COLUMN_PX]))
            swing = float(np.sin(2 * np.pi * truth.frequency_hz * t_s))
            if truth.starts_s + 2 < t_s < truth.ends_s - 1 and swing > lowest_px:
                best, lowest_px = (frame.image[ROWS].copy(), shown[ROWS].copy()), swing
            if t_s > truth.ends_s:
                break
    assert best is not None
    upper = np.hstack(best).astype(np.uint8)
    slices = [np.stack(columns, axis=1) for columns in zip(*pairs, strict=True)]
    width = upper.shape[1] // 2
    lower = np.hstack([cv2.resize(part, (width, part.shape[0])) for part in slices]).astype(
        np.uint8
    )
    gain = config.magnification.gain
    for x, title in ((8, "raw"), (width + 8, f"magnified x{gain:g}")):
        write_text(upper, title, (x, 20), 0.55, (255, 255, 255))
        words = f"the column at midspan over {SLICE_S[1] - SLICE_S[0]:g} s"
        write_text(lower, words, (x, 20), 0.45, (255, 255, 255))
    facts = PngInfo()
    facts.add_text("weights", checked(SHIPPED).weights_sha256)
    with replaced(OUT) as scratch:
        Image.fromarray(np.vstack([upper, lower])[..., ::-1]).save(scratch, pnginfo=facts)
    print(f"{OUT.name} written")


if __name__ == "__main__":
    main()
