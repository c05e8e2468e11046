"""See what a model does with the tokens of a video: a record, strips of pictures, a page."""

from .page import write_token_page
from .recording import TokenRecord, record_tokens
from .strips import STRIP_NAMES, Strip, draw_strips, stack_strips

__all__ = [
    'STRIP_NAMES',
    'Strip',
    'TokenRecord',
    'draw_strips',
    'record_tokens',
    'stack_strips',
    'write_token_page',
]
