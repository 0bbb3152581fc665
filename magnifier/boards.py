"""What NVIDIA's boards could do at best: a roofline, which is an estimate and no measurement."""

from dataclasses import dataclass
from typing import Literal

from magnifier.arithmetic import Cost


@dataclass(frozen=True, slots=True)
class Board:
    """Dense peaks of the graphics processor alone, from NVIDIA's data sheets.

    Single precision is twice the CUDA cores times their clock.
    """

    name: str
    int8_tops: float
    fp16_tflops: float
    fp32_tflops: float
    memory_gb_s: float

    def frame_s(self, cost: Cost, precision: Literal["fp32", "fp16", "int8"] = "fp16") -> float:
        """Seconds a frame if peak arithmetic or peak memory alone were the limit."""
        tera = {"fp32": self.fp32_tflops, "fp16": self.fp16_tflops, "int8": self.int8_tops}
        arithmetic_s = 2 * cost.multiply_accumulates / (tera[precision] * 1e12)
        memory_s = cost.moved_bytes / (self.memory_gb_s * 1e9)
        return max(arithmetic_s, memory_s)


BOARDS = (
    Board("Orin Nano 8GB", 20, 10, 1.28, 68),
    Board("Orin Nano 8GB Super", 33, 17, 2.09, 102),
    Board("Orin NX 8GB", 25, 12.5, 1.57, 102),
    Board("Orin NX 16GB", 30, 15, 1.88, 102),
    Board("Orin NX 16GB Super", 38, 19, 2.40, 102),
    Board("AGX Orin 32GB", 54, 27, 3.33, 205),
    Board("AGX Orin 64GB", 85, 43, 5.33, 205),
)
