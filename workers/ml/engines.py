"""Run a network as fast as the processor allows, with no compiler on the user's machine."""

import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn

Engine = Callable[[torch.Tensor], torch.Tensor]
"""(n, 3, size, size) normalised float32 on the network's device -> (n, features) float32."""

_TOLERANCE: Final = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
_building = threading.Lock()

_CONVOLUTION: Final = "%x, %weight, %bias, %stride : int[], %padding : int[], %dilation : int[], %groups : int"


def _fused(name: str, activation: str, bounds: str = "") -> tuple[str, str]:
    """Return the pattern of a convolution and its activation, and oneDNN's operation that is both in one, in which
    the result is not written and read once more; torch.compile uses it too."""
    signature = f"graph({_CONVOLUTION}{bounds}):"
    pattern = f"""{signature}
        %sum = aten::conv2d(%x, %weight, %bias, %stride, %padding, %dilation, %groups)
        %result = {activation}(%sum{bounds})
        return (%result)"""
    replacement = f"""{signature}
        %name : str = prim::Constant[value="{name}"]()
        %algorithm : str = prim::Constant[value=""]()
        %bounds : Scalar?[] = prim::ListConstruct({bounds.removeprefix(", ")})
        %result = mkldnn::_convolution_pointwise(
            %x, %weight, %bias, %padding, %stride, %dilation, %groups, %name, %bounds, %algorithm)
        return (%result)"""
    return pattern, replacement


_FUSIONS: Final = (_fused("hardtanh", "aten::hardtanh_", ", %least, %most"), _fused("relu", "aten::relu_"))
"""What freezing leaves apart in bfloat16; in float32 it does it itself."""


def build(network: nn.Module, size: int, device: torch.device) -> Engine:
    """Choose by what the processor supports, not by a timing: one machine always gives one vector.

    CUDA: float16 autocast, channels_last. CPU: folded batch norms and oneDNN's blocked layout through TorchScript, five
    times as fast as the plain forward pass (docs/encoders.md), in bfloat16 where the processor has instructions for it.
    """
    if device.type != "cpu":
        return _autocast(network, device, torch.float16)
    dtype = cpu_precision()
    if dtype != torch.float32:  # a large network is not copied for nothing
        network = copy.deepcopy(network).to(dtype)
    return in_precision(frozen(network, size, dtype), dtype)


def cpu_precision() -> torch.dtype:
    """Return bfloat16 where this processor computes in it rather than imitating it, else float32."""
    able = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if able else torch.float32


def frozen(network: nn.Module, size: int, dtype: torch.dtype) -> nn.Module:
    """Return a network of `dtype` frozen through TorchScript, or itself if that does not reproduce it on a batch of
    another size than it was traced on."""
    network = network.to(memory_format=torch.channels_last)
    example = torch.zeros(2, 3, size, size, dtype=dtype).contiguous(memory_format=torch.channels_last)
    noise = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0)).to(dtype)
    # Freezing is marked deprecated in favour of torch.compile, which needs a C++ compiler at run
    # time and was slower here; torch is pinned. The lock is there because filters are process-wide.
    with _building, warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", message=r".torch\.jit", category=FutureWarning)
        # What the tracer took for constant is checked below, by comparing results.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        optimised: Any = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        for pattern, replacement in _FUSIONS:
            torch._C._jit_pass_custom_pattern_based_rewrite_graph(pattern, replacement, optimised.graph)
        return optimised if _distance(optimised, network, noise) < _TOLERANCE[dtype] else network


def _distance(found: nn.Module, network: nn.Module, images: torch.Tensor) -> float:
    """Relative difference of the features of two networks; infinite where the first fails on this batch.

    Of all features together: of single ones a network in half precision differs from itself by several percent of the
    largest when its sums are only taken in another order.
    """
    expected = network(images).float()
    try:
        difference = found(images).float() - expected
    except RuntimeError:
        return torch.inf
    return float(difference.norm() / expected.norm())


def _autocast(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Engine:
    network = network.to(memory_format=torch.channels_last)

    def engine(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, dtype):
            return network(images).float()  # type: ignore[no-any-return]

    return engine


def in_precision(network: nn.Module, dtype: torch.dtype) -> Engine:
    """Return an engine that runs a network of `dtype` as it is."""

    def engine(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            # One after the other: both at once takes three times as long.
            ready = images.to(dtype).contiguous(memory_format=torch.channels_last)
            return network(ready).float()  # type: ignore[no-any-return]

    return engine
