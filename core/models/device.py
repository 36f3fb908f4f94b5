"""Where models compute. Imports torch and nothing that unsloth has to come before."""

import torch

from core.schema import Precision

_GPU_IS_FULL = (
    *("CUDA error: out of memory", "CUDA driver error: out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)


def best_device() -> torch.device:
    """The accelerator where there is one, else the processor."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def gpu_format() -> torch.dtype:
    """What a CUDA GPU is to multiply in: bfloat16 where it does so itself, else float16."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def evaluation_format(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Around passes without a way back: on a CUDA GPU in its own format where none is asked for, elsewhere in the
    weights'."""
    if device.type != "cuda" or precision == "float32":
        return torch.autocast(device.type, torch.bfloat16, enabled=False)
    return torch.autocast(device.type, gpu_format() if precision == "auto" else getattr(torch, precision))


def gpu_is_full(error: BaseException) -> bool:
    """Whether a GPU's memory did not suffice. Beside torch's own error for it there are those of CUDA and its
    libraries, from what they take for themselves."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _GPU_IS_FULL)
