"""Version checks, and shims for faults of MMEngine, MMAction2, MMPretrain and mmcv-lite.

Each shim names the versions that need it; remove it when these are no longer accepted. Importing
this module imports none of these libraries, which would take seconds even for ``--help`` of a tool.
"""

import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import metadata, util
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = [
    'allow_mmengine_checkpoints',
    'check_versions',
    'disable_multimodal',
    'extend_hooks',
    'fix_mmaction',
    'silence_mmcv_lite',
    'when_imported',
]

Callback = Callable[[ModuleType], None]


@dataclass(frozen=True)
class _Library:
    """A module, the distributions that provide it (the first is recommended), accepted versions."""

    module: str
    distributions: tuple[str, ...]
    accepted: str


_LIBRARIES = (
    _Library('mmengine', ('mmengine',), '>=0.10,<1.0'),
    # mmaction2 1.2 refuses 2.2.0 and later, mmpretrain 1.2 refuses versions before 2.0.0
    _Library('mmcv', ('mmcv-lite', 'mmcv'), '>=2.0.0,<2.2.0'),
    _Library('mmaction', ('mmaction2',), '>=1.2,<1.3'),
    _Library('mmpretrain', ('mmpretrain',), '>=1.2,<1.3'),
)


def check_versions() -> None:
    """Check the versions of the installed OpenMMLab libraries.

    Raises:
        ImportError: If a library is missing or has a version that is not accepted. The message
            names every such library, what was found, what is accepted and the command to install
            it.
    """
    problems = [problem for library in _LIBRARIES if (problem := _problem_of(library))]
    if problems:
        raise ImportError(
            'ts2net_mm cannot use the libraries installed here:\n' + '\n'.join(problems)
        )


def _problem_of(library: _Library) -> str | None:
    """Describe what is wrong with a library, or return None."""

    def describe(found: str, recommended: str) -> str:
        names = ' or '.join(sorted(library.distributions))
        command = f"pip install '{recommended}{library.accepted}'"
        return f'- {names}: found {found}, accepted is {library.accepted}; {command}'

    spec = util.find_spec(library.module)
    # a folder that an uninstalled distribution left behind is a namespace package, without origin
    if spec is None or spec.origin is None:
        return describe('nothing', library.distributions[0])
    found = {}  # full mmcv and mmcv-lite may both be installed, in the same folder
    for name in library.distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not found:  # a source checkout on the path
        found[library.distributions[-1]] = _read_version(Path(spec.origin).parent)
    wrong = {name: text for name, text in found.items() if not _accepts(library.accepted, text)}
    if not wrong:
        return None
    listed = ', '.join(f'{name} {version}' for name, version in wrong.items())
    return describe(listed, next(iter(wrong)))


def _read_version(package: Path) -> str:
    source = package / 'version.py'
    text = source.read_text() if source.is_file() else ''
    match = re.search(r'^__version__ = [\'"](.+?)[\'"]', text, re.MULTILINE)
    return match.group(1) if match else 'of unknown version'


def _accepts(accepted: str, version: str) -> bool:
    try:
        return SpecifierSet(accepted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


class _ImportHooks(MetaPathFinder):
    """Runs callbacks after the execution of modules that the other finders find."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.callbacks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._extend(spec.loader, fullname)
                return spec
        return None

    def _extend(self, loader: Any, fullname: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for callback in self.callbacks[fullname]:
                callback(module)

        # replaced on the loader itself, so that inspect, pkgutil and tracebacks find the source
        loader.exec_module = exec_module


_import_hooks = _ImportHooks()


def when_imported(name: str, callback: Callback) -> None:
    """Call a function with a module after its import, or now if it is already imported.

    Args:
        name: Full name of the module.
        callback: Gets the module, again after a reload or if it is registered again.
    """
    callbacks = _import_hooks.callbacks.setdefault(name, [])
    if callback not in callbacks:
        callbacks.append(callback)
    if _import_hooks not in sys.meta_path:
        sys.meta_path.insert(0, _import_hooks)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, '_initializing', False):
        callback(module)


# MMAction2 1.2.0 from PyPI: mmaction/models/localizers/__init__.py imports DRN from .drn.drn, but
# the wheel lacks that folder (https://github.com/open-mmlab/mmaction2/issues/2714).
_DRN_PACKAGE = 'mmaction.models.localizers.drn'
_DRN_MODULE = f'{_DRN_PACKAGE}.drn'


class DRN:
    """Placeholder for MMAction2's ``DRN``; not registered, so no config can build it.

    Raises:
        ImportError: Always; the message says how to get MMAction2's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            f"DRN is not part of this mmaction2 installation, as PyPI's wheel lacks {_DRN_PACKAGE} "
            '(https://github.com/open-mmlab/mmaction2/issues/2714). To use it install the source: '
            'pip install git+https://github.com/open-mmlab/mmaction2.git@v1.2.0'
        )


class _MissingFolderFinder(MetaPathFinder, Loader):
    """Finds and loads the two modules of the missing folder only."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (_DRN_PACKAGE, _DRN_MODULE):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _DRN_PACKAGE)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _DRN_MODULE:
            module.DRN = DRN  # type: ignore[attr-defined]


def fix_mmaction() -> None:
    """Make ``import mmaction.models`` work with MMAction2's incomplete wheel, in this process.

    A process that unpickles an object of ``ts2net_mm``, or reads a config with ``custom_imports =
    dict(imports=['ts2net_mm'])``, does this too by importing the package.
    """
    # last in the path: asked only for modules that no other finder has found
    if not any(isinstance(finder, _MissingFolderFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MissingFolderFinder())


# MMEngine 0.10 (up to 0.10.7) with torch 2.6 or later: torch.load reads with weights_only=True and
# refuses the message hub in MMEngine's own checkpoints. HistoryBuffer pickles references to its
# statistics, each as getattr(HistoryBuffer, name).
_STATISTICS = ('min', 'max', 'current', 'mean')


def allow_mmengine_checkpoints() -> None:
    """Make ``torch.load(weights_only=True)``, torch's default, accept MMEngine's checkpoints.

    Besides tensors and plain Python values they have ``HistoryBuffer`` (numpy arrays and references
    to its own statistics) and numpy scalars such as the best score. Nothing else is allowed;
    ``getattr`` is replaced by a function that returns these statistics only.
    """
    when_imported('mmengine.logging.history_buffer', _allow_history)


def _allow_history(history: ModuleType) -> None:
    import numpy as np
    import torch

    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [history.HistoryBuffer, np.ndarray, np.dtype]
    allowed += [type(np.dtype(name)) for name in ('float64', 'float32', 'int64')]
    allowed.append((_history_statistic, 'builtins.getattr'))
    # numpy 2 renamed the module, and a run may be resumed with another numpy
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    torch.serialization.add_safe_globals(allowed)


def _history_statistic(owner: Any, name: str) -> Any:
    """Replace ``getattr`` in a checkpoint.

    Raises:
        pickle.UnpicklingError: If anything but a statistic of HistoryBuffer is requested.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(
            f'the file asks for attribute {name!r} of {owner!r}, which MMEngine never saves'
        )
    return getattr(HistoryBuffer, name)


# MMAction2 1.2.0 and MMPretrain 1.2.0: if transformers is installed they import their multi-modal
# models, which need a function that newer versions of transformers have removed from this module.
_REMOVED_FUNCTION = 'apply_chunking_to_forward'


def disable_multimodal() -> None:
    """Make both libraries behave as without transformers if the installed version is too new.

    They register placeholders then: a config with such a model gets their message about the missing
    requirement. Has no effect without transformers or with a version that works.
    """
    spec = util.find_spec('transformers')
    if spec is None or spec.origin is None:
        return
    # read as text, because importing transformers takes seconds
    source = Path(spec.origin).with_name('modeling_utils.py')
    if source.is_file() and _REMOVED_FUNCTION in source.read_text(encoding='utf-8'):
        return
    for name in ('mmaction.utils.dependency', 'mmpretrain.utils.dependency'):
        when_imported(name, _disable)


def _disable(module: ModuleType) -> None:
    module.WITH_MULTIMODAL = False  # type: ignore[attr-defined]


def silence_mmcv_lite() -> None:
    """Hide the warning of mmcv-lite (up to 2.1.0) about an operator that this package does not use.

    Any other warning is shown.
    """
    message = 'Fail to import ``MultiScaleDeformableAttention``'
    warnings.filterwarnings('ignore', message=message, category=UserWarning)


# with the slash that MMEngine puts after a prefix, so that they match nothing else
_GREATER_KEYS = ('/R1', '/R5', '/R10', '/R50')
_LESS_KEYS = ('/MdR', '/MnR')


def extend_hooks() -> None:
    """Make hooks of MMEngine and MMAction2 work with retrieval metrics and with captions.

    ``CheckpointHook`` and ``EarlyStoppingHook`` of MMEngine 0.10 infer from the name of a metric
    whether more is better, and know no retrieval metric. ``VisualizationHook`` of MMAction2 1.2.0
    takes the inputs of a batch for a list of videos and fails with ``KeyError: 0`` if a batch has
    captions, as in MMAction2's own CLIP4Clip; and it passes ``show`` to a visualizer that calls
    this setting ``show_frames``.
    """
    from mmaction.engine.hooks import VisualizationHook
    from mmengine.hooks import CheckpointHook, EarlyStoppingHook

    for hook in (CheckpointHook, EarlyStoppingHook):
        for keys, new in (
            (hook._default_greater_keys, _GREATER_KEYS),
            (hook._default_less_keys, _LESS_KEYS),
        ):
            keys.extend(key for key in new if key not in keys)
    draw = VisualizationHook._draw_samples
    if hasattr(draw, '__wrapped__'):
        return

    @wraps(draw)
    def draw_frames(hook: Any, batch_idx: int, data_batch: dict, *args: Any, **kwargs: Any) -> None:
        inputs = data_batch['inputs']
        if isinstance(inputs, Mapping) and 'imgs' in inputs:
            # (T, 3, H, W) -> (3, T, H, W), which the hook expects
            videos = [imgs.transpose(0, 1) for imgs in inputs['imgs']]
            data_batch = dict(data_batch, inputs=videos)
        if 'show' in hook.draw_args:
            hook.draw_args['show_frames'] = hook.draw_args.pop('show')
        draw(hook, batch_idx, data_batch, *args, **kwargs)

    VisualizationHook._draw_samples = draw_frames
