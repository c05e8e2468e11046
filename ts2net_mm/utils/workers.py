"""What processes that share work have in common."""

import os

__all__ = ['available_cpus']


def available_cpus() -> int:
    """Number of CPUs this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
