"""The random states of a process, as plain tensors that a checkpoint may hold."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

__all__ = ['random_states', 'restore_random_states', 'seeded']


def random_states() -> dict[str, Tensor]:
    """Read the states of Python's, numpy's and torch's generators, CUDA's current device included.

    Returns:
        Tensors and nothing else, so that ``torch.load(weights_only=True)`` reads them.
    """
    version, internal, gauss = random.getstate()
    # numpy's global generator is always this one, whose state is a tuple of five
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    states = dict(
        python=torch.tensor([version, *internal], dtype=torch.int64),
        python_gauss=torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        numpy=torch.from_numpy(np.append(keys, [position, has_gauss]).astype(np.int64)),
        numpy_gauss=torch.tensor([cached], dtype=torch.float64),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Set the states that `random_states` has read."""
    version, *internal = states['python'].tolist()
    gauss = states['python_gauss'].tolist()
    random.setstate((version, tuple(internal), gauss[0] if gauss else None))
    *keys, position, has_gauss = states['numpy'].tolist()
    np.random.set_state(
        (
            'MT19937',
            np.array(keys, dtype=np.uint32),
            position,
            has_gauss,
            states['numpy_gauss'].item(),
        )
    )
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Draw on the CPU from generators that depend on some numbers alone, then go on as before."""
    words = np.random.SeedSequence(entropy).generate_state(4)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed would reach CUDA as well
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
