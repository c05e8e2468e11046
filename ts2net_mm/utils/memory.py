"""Memory of the process."""

import ctypes

__all__ = ['release_freed_memory']


def release_freed_memory() -> None:
    """Give the pages of freed memory back to the system, where the C library can.

    glibc keeps freed tensors of up to 32 MB. Where gradients lie between them, the tensors of the
    next pass do not fit into the holes, and the process grows.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim(0)
