"""Reading and writing weight formats."""

from .architecture import config_from_state_dict
from .convert import convert_state_dict
from .matching import check_state_dict
from .reading import read_state_dict

__all__ = [
    'check_state_dict',
    'config_from_state_dict',
    'convert_state_dict',
    'read_state_dict',
]
