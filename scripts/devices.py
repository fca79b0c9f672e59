# SPDX-License-Identifier: Apache-2.0
"""What processors and GPUs can do, and how they say that they cannot."""

from __future__ import annotations

from typing import Any

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: AVX-512 BF16 or AMX on a CPU, Ampere or later on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        from torch.backends import cpu

        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "AVX512" in cpu.get_cpu_capability()
    return False


def is_out_of_device_memory(error: BaseException) -> bool:
    """Whether a GPU had no memory left: its allocator's own exception, or what CUDA and its libraries say instead."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    words = ("CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def here() -> list[torch.device]:
    """The processor, then each CUDA GPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.device("cpu"), *(torch.device("cuda", number) for number in range(count))]


def describe(device: torch.device) -> dict[str, Any]:
    """What decides how a device computes: its kind, its kernels or name, and whether it computes in bfloat16."""
    found: dict[str, Any] = {"device": str(device), "bfloat16": has_fast_bfloat16(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return found | {"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}
    from torch.backends import cpu

    return found | {"kernels": cpu.get_cpu_capability()}
