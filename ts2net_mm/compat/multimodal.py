"""Import MMAction2 and MMPretrain beside a newer transformers than their own models can use.

Both import their multi-modal models as soon as transformers is installed, and these take
``apply_chunking_to_forward`` from ``transformers.modeling_utils``, where newer releases no longer
have it. ``import mmaction.models`` then fails as a whole, although nothing here needs those models.
"""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from .when_imported import when_imported

__all__ = ['leave_out_multimodal']

_NEEDED = 'apply_chunking_to_forward'
_SWITCHES = ('mmaction.utils.dependency', 'mmpretrain.utils.dependency')


def leave_out_multimodal() -> None:
    """Let both libraries register placeholders, as without transformers, where it is too new.

    A config that asks for such a model gets their message about the missing requirement. Has no
    effect without transformers or with one that serves; may be called any number of times.
    """
    spec = find_spec('transformers')
    if spec is None or spec.origin is None or _serves(Path(spec.origin).parent):
        return
    for name in _SWITCHES:
        when_imported(name, _switch_off)


def _switch_off(module: ModuleType) -> None:
    module.WITH_MULTIMODAL = False  # type: ignore[attr-defined]


def _serves(transformers: Path) -> bool:
    # read, because importing transformers takes seconds
    source = transformers / 'modeling_utils.py'
    return source.is_file() and _NEEDED in source.read_text(encoding='utf-8')
