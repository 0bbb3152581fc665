"""What NVIDIA's boards could do at best: a roofline, which is an estimate and no measurement."""

from dataclasses import dataclass

from magnifier.arithmetic import Cost


@dataclass(frozen=True, slots=True)
class Board:
    """Dense peaks of the graphics processor alone, from NVIDIA's data sheets."""

    name: str
    int8_tops: float
    fp16_tflops: float
    memory_gb_s: float

    def frame_s(self, cost: Cost, *, eight_bits: bool = False) -> float:
        """Seconds a frame if peak arithmetic or peak memory alone were the limit."""
        peak = self.int8_tops if eight_bits else self.fp16_tflops
        arithmetic_s = 2 * cost.multiply_accumulates / (peak * 1e12)
        memory_s = cost.moved_bytes / (self.memory_gb_s * 1e9)
        return max(arithmetic_s, memory_s)


BOARDS = (
    Board("Orin Nano 8GB", 20, 10, 68),
    Board("Orin Nano 8GB Super", 33, 17, 102),
    Board("Orin NX 8GB", 25, 12.5, 102),
    Board("Orin NX 16GB", 30, 15, 102),
    Board("Orin NX 16GB Super", 38, 19, 102),
    Board("AGX Orin 32GB", 54, 27, 205),
    Board("AGX Orin 64GB", 85, 43, 205),
)
