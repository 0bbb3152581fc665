"""What NVIDIA's boards could do at best: a roofline, which is an estimate and no measurement."""

from dataclasses import dataclass

from magnifier.arithmetic import Cost


@dataclass(frozen=True, slots=True)
class Board:
    """Dense peaks of the graphics processor alone, from NVIDIA's data sheets."""

    name: str
    fp16_tflops: float
    memory_gb_s: float

    def frames_hz(self, cost: Cost) -> float:
        """Frames a second if peak arithmetic or peak memory alone were the limit."""
        arithmetic_s = 2 * cost.multiply_accumulates / (self.fp16_tflops * 1e12)
        memory_s = cost.moved_bytes / (self.memory_gb_s * 1e9)
        return 1 / max(arithmetic_s, memory_s)


BOARDS = (
    Board("Orin Nano 8GB", 10, 68),
    Board("Orin Nano 8GB Super", 17, 102),
    Board("Orin NX 8GB", 12.5, 102),
    Board("Orin NX 16GB", 15, 102),
    Board("Orin NX 16GB Super", 19, 102),
    Board("AGX Orin 32GB", 27, 205),
    Board("AGX Orin 64GB", 43, 205),
)
