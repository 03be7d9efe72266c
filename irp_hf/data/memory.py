"""How much memory there is, and an allocator's error in our words."""

from __future__ import annotations

from contextlib import ContextDecorator
from pathlib import Path
from typing import Any

import torch

from irp_hf.errors import IRPError, TooLargeError, refusal

GIB = 2**30
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
REFUSALS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be taken there; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [size for size in (_of_system(), _of_process(), *map(_of_group, CGROUPS)) if size is not None]
    return max(min(known), 0) if known else None


def size_of(count: float) -> str:
    """A number of bytes in words: `1.5 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


class allocating(ContextDecorator):
    """Within it, or a function that it decorates, what an allocator refuses becomes a `TooLargeError` that says what to do."""

    def __init__(self, subject: str, advice: str) -> None:
        self._subject, self._advice = subject, advice

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, MemoryError | RuntimeError) or isinstance(error, IRPError):
            return
        told = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if told or any(words in str(error).lower() for words in REFUSALS):
            raise refusal(self._subject, "memory for it", "no more of it", self._advice, TooLargeError) from error


def _of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_process() -> int | None:
    """What a limit on this process's addresses leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return limit - pages * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None


def _of_group(files: tuple[str, str]) -> int | None:
    """What a container's limit leaves."""
    try:
        limit, used = (Path(file).read_text(encoding="ascii").strip() for file in files)
        return int(limit) - int(used)
    except (OSError, ValueError):  # none, or "max"
        return None
