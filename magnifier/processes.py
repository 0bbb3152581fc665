"""The processes that train one network together, as torchrun starts them; usually just this one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from failure import Failure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """How many there are, which of them this one is, and the device that it computes on."""

    count: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def agreed(self, value: T) -> T:
        """The first process's value, in every process. Each has to ask."""
        values = [value]
        if self.count > 1:
            torch.distributed.broadcast_object_list(values, device=self.device)
        return values[0]

    def spread(self, module: nn.Module) -> None:
        """Give the first process's parameters to every process."""
        if self.count > 1:
            for parameter in module.parameters():
                torch.distributed.broadcast(parameter.data, 0)

    def together(self, task: nn.Module) -> nn.Module:
        """``task`` with the first process's parameters, and gradients averaged over all."""
        if self.count == 1:
            return task
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(task, device_ids=ids)

    def share(self, batch: int) -> slice:
        """This process's part of a batch. Raises Failure when it can't be divided."""
        if batch % self.count:
            raise Failure(
                f"--batch {batch}: {self.count} processes can't share it equally; choose a "
                f"multiple of {self.count}"
            )
        part = batch // self.count
        return slice(self.rank * part, (self.rank + 1) * part)


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun's environment tells of: one graphics card each, where there are."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    cards = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cards else torch.device("cpu")
    if count == 1:
        yield Processes(device=device)
        return
    torch.distributed.init_process_group("nccl" if cards else "gloo")
    try:
        yield Processes(count, torch.distributed.get_rank(), device)
    finally:
        torch.distributed.destroy_process_group()
