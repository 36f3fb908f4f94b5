"""Main memory that a phase has freed goes back to the system before the next one takes its own. Light: no torch.

glibc keeps freed pieces for the process; after many batches of unlike lengths they are too scattered to be used again
whole, and a run would hold, beside what it needs, what its baselines needed. malloc_trim(3) gives them back.
"""

import ctypes
import gc
import sys


def give_back_freed() -> None:
    """Also what only cycles still hold. Nothing is given back where the C library is not glibc."""
    gc.collect()
    give_back_pieces()


def give_back_pieces() -> None:
    """What is freed already. Nothing is given back where the C library is not glibc."""
    if sys.platform != "linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library, such as musl
        return
    libc.malloc_trim(0)
