"""Where models compute. Imports torch and nothing that unsloth has to come before."""

import torch


def best_device() -> torch.device:
    """The accelerator where there is one, else the processor."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
