"""MMEngine's access to local files, with atomic writes."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..utils.files import replacing

__all__ = ['ATOMIC_BACKEND', 'AtomicLocalBackend']

ATOMIC_BACKEND = 'ts2net_mm_atomic'


class AtomicLocalBackend(LocalBackend):
    """A local file backend that replaces a file only by a complete one."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes."""
        with replacing(filepath) as temporary:
            temporary.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        self.put(obj.encode(encoding), filepath)


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)
