"""Reading and writing weight formats."""

from .conversion import config_from_state_dict, convert_state_dict
from .downloading import CLIP_NAMES, is_url
from .fitting import fit_weights, load_weights
from .initializer import CLIPPretrained
from .matching import check_state_dict
from .merging import config_of
from .mmengine_loader import load_any
from .publishing import publish
from .reading import Checkpoint, read_checkpoint, read_state_dict
from .settings import as_meta
from .writing import WRITABLE, convert_checkpoint, save_weights

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
