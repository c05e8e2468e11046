"""Search an index in a browser (needs the extra ``app``)."""

from .server import create_app

__all__ = ['create_app']
