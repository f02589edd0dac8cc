"""Run a network as fast as the processor allows, with no compiler on the user's machine."""

import copy
import threading
import warnings
from collections.abc import Callable

import torch
from torch import nn

Engine = Callable[[torch.Tensor], torch.Tensor]
"""(n, 3, size, size) normalised float32 on the network's device -> (n, features) float32."""

_building = threading.Lock()


def build(network: nn.Module, size: int, device: torch.device) -> Engine:
    """Choose by what the processor supports, not by a timing: one machine always gives one vector.

    CUDA: float16 autocast, channels_last. CPU: folded batch norms and oneDNN's blocked layout through TorchScript, five
    times as fast as the plain forward pass (docs/encoders.md), in bfloat16 where the processor has instructions for it.
    """
    if device.type != "cpu":
        return _autocast(network, device, torch.float16)
    if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported():
        return _frozen(copy.deepcopy(network).to(torch.bfloat16), size, torch.bfloat16)
    return _frozen(network, size, torch.float32)


def _autocast(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Engine:
    network = network.to(memory_format=torch.channels_last)

    def engine(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, dtype):
            return network(images).float()  # type: ignore[no-any-return]

    return engine


def _frozen(network: nn.Module, size: int, dtype: torch.dtype) -> Engine:
    network = network.to(memory_format=torch.channels_last)
    example = torch.zeros(2, 3, size, size, dtype=dtype).contiguous(memory_format=torch.channels_last)
    # Freezing is marked deprecated in favour of torch.compile, which needs a C++ compiler at run
    # time and was slower here; torch is pinned. The lock is there because filters are process-wide.
    with _building, warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", message=r".torch\.jit", category=FutureWarning)
        # What the tracer took for constant is checked below, by comparing results.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: nn.Module = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        other = torch.linspace(-2, 2, 3 * 3 * size * size, dtype=dtype).reshape(3, 3, size, size)
        expected = network(other)
        close = (1e-3 if dtype == torch.float32 else 5e-2) * float(expected.abs().max())
        if not torch.allclose(_try(frozen, other, expected), expected, atol=close):
            frozen = network

    def engine(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return frozen(images.to(dtype, memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]

    return engine


def _try(frozen: Engine, images: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Result of the frozen network, or infinity where it holds only for the batch it was traced on."""
    try:
        return frozen(images)
    except RuntimeError:
        return torch.full_like(expected, torch.inf)
