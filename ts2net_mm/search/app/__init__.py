"""Search an index in a browser (needs the extra ``app``)."""

from .access import is_local
from .server import create_app

__all__ = ['create_app', 'is_local']
