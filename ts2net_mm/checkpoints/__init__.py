"""Reading, converting and writing weights of every format."""

from .conversion import check_state_dict, config_from_state_dict, config_of, convert_state_dict
from .downloading import CLIP_NAMES, is_url
from .loading import CLIPPretrained, fit_weights, load_any, load_weights
from .reading import Checkpoint, read_checkpoint, read_state_dict
from .settings import as_meta
from .writing import WRITABLE, convert_checkpoint, publish, save_weights

__all__ = [
    'CLIP_NAMES',
    'CLIPPretrained',
    'Checkpoint',
    'WRITABLE',
    'as_meta',
    'check_state_dict',
    'config_from_state_dict',
    'config_of',
    'convert_checkpoint',
    'convert_state_dict',
    'fit_weights',
    'is_url',
    'load_any',
    'load_weights',
    'publish',
    'read_checkpoint',
    'read_state_dict',
    'save_weights',
]
