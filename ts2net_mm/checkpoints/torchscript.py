"""Read the tensors of a TorchScript archive without running or compiling the code in it.

The archive may come from anywhere: only what ``find_class`` lists is unpickled.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ['is_torchscript', 'read_torchscript']

_DTYPES = {
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Tell whether a file is a TorchScript archive: a zip file with constants of a program."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the module in a TorchScript archive, such as OpenAI's CLIPs.

    Raises:
        pickle.UnpicklingError: If the archive asks for anything but tensors and plain modules.
        zipfile.BadZipFile: If it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        content = next(name for name in archive.namelist() if name.endswith('/data.pkl'))
        root = content.removesuffix('data.pkl')
        module = _TensorsOnly(BytesIO(archive.read(content)), archive, root).load()
    return dict(_tensors(module))


class _Module:
    """A placeholder for any module of the archive, with its members and without its code."""

    members: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.members = state if isinstance(state, dict) else {}


def _tensors(module: Any, prefix: str = '') -> Iterator[tuple[str, Tensor]]:
    for name, member in getattr(module, 'members', {}).items():
        if isinstance(member, Tensor):
            yield prefix + name, member
        elif isinstance(member, _Module):
            yield from _tensors(member, f'{prefix}{name}.')


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return storage.as_strided(size, stride, offset)  # raises beyond the end of the storage


def _untagged(value: Any, *_: Any) -> Any:
    return value


class _TensorsOnly(pickle.Unpickler):
    """Unpickle tensors, and modules as placeholders; refuse everything else."""

    def __init__(self, file: BytesIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return _Module
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _rebuild_tensor
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        # TorchScript tags lists and dicts with the type of their items
        if module == 'torch.jit._pickle':
            return _untagged
        raise pickle.UnpicklingError(f'it asks for {module}.{name}, which no weights need')

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, _ = pid
        if key not in self._storages:
            # a bytearray, because tensors share the memory of the buffer and must be writable
            record = bytearray(self._archive.read(f'{self._root}data/{key}'))
            self._storages[key] = (
                torch.frombuffer(record, dtype=dtype) if record else torch.empty(0, dtype=dtype)
            )
        return self._storages[key]
