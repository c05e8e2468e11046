"""One-line errors that name the wrong setting of a config."""

import difflib
import inspect
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry, build_from_cfg
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..datasets import BadVideosError, UnreadableVideoError
from ..utils.cli import WrongArgumentError
from ..video import DecoderStartError
from .resuming import NoCheckpointError

__all__ = ['explain_error', 'require_settings', 'suspicious_keys']

EXPECTED = (
    OSError,
    BadVideosError,
    DecoderStartError,
    NoCheckpointError,
    UnreadableVideoError,
    WrongArgumentError,
)
PACKAGE = __name__.partition('.')[0]
UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


def require_settings(cfg: Config, *names: str, purpose: str) -> None:
    """Check that a config has the settings that a run needs, and batches of at least one item.

    Raises:
        ValueError: With the settings that are missing or wrong.
    """
    missing = [name for name in names if cfg.get(name) is None]
    if missing:
        raise ValueError(
            f'config {cfg.filename} has no {", no ".join(missing)}; {purpose} needs '
            f'{", ".join(names)}'
        )
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        size = loader.get('batch_size', 1) if isinstance(loader, Mapping) else 1
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f'config {cfg.filename}: {name}.batch_size={size!r} is not a positive integer'
            )


def suspicious_keys(cfg: Config) -> list[str]:
    """Describe the top-level settings that look like misspelt settings of the Runner.

    The Runner ignores them. Any other name may be a variable of the config file.
    """
    known = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    found = []
    for key in cfg:
        # a high cutoff, because variables of the file may have similar names
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.9)
        if key not in known and close:
            found.append(f'{key!r} is not a setting of a run; did you mean {close[0]!r}?')
    return found


def explain_error(error: BaseException, cfg: Config | None = None) -> str | None:
    """Return one line for an error that a user can fix; None for errors that need a traceback.

    The former are errors of files and videos, the checks of this package (also in the workers of a
    data loader), and anything that a part of the config raises while it is built.

    Args:
        error: The error that ended the run.
        cfg: The config, to name the place in it.
    """
    if isinstance(error, EXPECTED) or _is_check_of_package(error):
        return _message_of(error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # the innermost part that was being built
    part = next((part for frame in reversed(frames) if (part := _part_of(frame))), None)
    if part is not None:
        return _explain_part(error, *part, cfg)
    if frames and _is_check_of_mmengine(error, frames):
        message = _message_of(error)
        keys = [key for key, value in (cfg or {}).items() if value == message]
        where = f'{keys[0]}={message!r}: ' if keys else ''
        return f'{_name(cfg)}{where}{type(error).__name__}: {message}'
    in_pipeline = 'prepare_data' in [frame.f_code.co_name for frame in frames]
    if (in_pipeline or ', in prepare_data' in str(error)) and 'unexpected keyword' in str(error):
        # some transforms read their settings only when the first item is loaded
        return f'{_name(cfg)}a transform of a pipeline: {_message_of(error)}'
    return None


def _is_check_of_package(error: BaseException) -> bool:
    """Tell whether this package raised the error, in this process or in a worker."""
    if not isinstance(error, ValueError):
        return False
    text = str(error)
    if 'Original Traceback' in text:
        files = re.findall(r'File "([^"]+)", line', text)
        return bool(files) and f'/{PACKAGE}/' in files[-1].replace('\\', '/')
    names = [
        frame.f_globals.get('__name__', '') for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return bool(names) and names[-1].startswith(f'{PACKAGE}.')


def _is_check_of_mmengine(error: BaseException, frames: list[FrameType]) -> bool:
    """Tell whether the Runner, or one of MMEngine's hooks, rejected its settings."""
    names = [frame.f_globals.get('__name__', '') for frame in frames]
    while names and not names[-1].startswith('mmengine.'):  # such as logging, called by MMEngine
        names.pop()
    building = any(frame.f_code is Runner.__init__.__code__ for frame in frames)
    in_hook = bool(names) and names[-1].startswith('mmengine.hooks.')
    kinds = AssertionError | KeyError | TypeError | ValueError
    return isinstance(error, kinds) and (building or in_hook)


def _message_of(error: BaseException) -> str:
    """The message, without the traceback of a worker process that torch adds to it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:
        last = text.strip().splitlines()[-1]
        text = re.sub(r'^[\w.]+(?:Error|Exception): ', '', last)
    return text.strip()


def _part_of(frame: FrameType) -> tuple[Mapping, Registry | None] | None:
    """The part of a config that is built in a stack frame, and its registry."""
    if frame.f_code is build_from_cfg.__code__:
        part, registry = frame.f_locals.get('cfg'), frame.f_locals.get('registry')
    elif frame.f_code is Runner.build_dataloader.__code__:
        part, registry = frame.f_locals.get('dataloader'), None
    else:
        return None
    return (part, registry) if isinstance(part, Mapping) else None


def _explain_part(
    error: BaseException, part: Mapping, registry: Registry | None, cfg: Config | None
) -> str:
    kind = part.get('type')
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', 'DataLoader')
    place = _place_of(part, cfg)
    where = f'{_name(cfg)}{place} ({name})' if place else f'{_name(cfg)}{name}'
    message = ' '.join(_message_of(error).split())
    if isinstance(error, KeyError) and 'is not in the' in message and registry is not None:
        hint = _did_you_mean(str(kind).rpartition('.')[2], _names_in(registry))
        return f'{_name(cfg)}{place or "type"}: there is no {registry.name} {kind!r}{hint}'
    if unexpected := UNEXPECTED.search(message):
        built = (
            registry.get(kind)
            if registry is not None and isinstance(kind, str)
            else kind or DataLoader
        )
        hint = _did_you_mean(unexpected[1], _arguments_of(built))
        return f'{where} has no argument {unexpected[1]!r}{hint}'
    if isinstance(error, KeyError) and registry is None:
        return f'{where} has no {message!r}'
    if isinstance(
        error, TypeError
    ):  # a value of the wrong type; the message may not name the setting
        plain = {k: v for k, v in part.items() if isinstance(v, str) and k != 'type'}
        given = ', '.join(f'{key}={value!r}' for key, value in plain.items())
        message += f' (strings given: {given})' if given else ''
    return f'{where}: {type(error).__name__}: {message[:500]}'


def _name(cfg: Config | None) -> str:
    return f'config {cfg.filename}: ' if cfg is not None and cfg.filename else ''


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean {close[0]!r}?' if close else ''


def _names_in(registry: Registry) -> set[str]:
    """The names that a registry finds: its own and its parents'."""
    names: set[str] = set()
    level: Registry | None = registry
    while level is not None:
        names.update(level.module_dict)
        level = level.parent
    return names


def _arguments_of(built: Any) -> set[str]:
    """The arguments of a class and of its bases."""
    names: set[str] = set()
    for function in inspect.getmro(built) if inspect.isclass(built) else [built]:
        try:
            names.update(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
    return names - {'self', 'args', 'kwargs'}


def _place_of(part: Mapping, cfg: Config | None) -> str:
    """The path of a part in the config, such as model.neck; '' if it is ambiguous.

    The part is found by its type and most of its settings, because some settings may have been
    added or removed since the config was read.
    """
    shared: dict[str, int] = {}
    for place, value in _walk(cfg.to_dict() if cfg is not None else {}, ''):
        if place and value.get('type') == part.get('type'):
            shared[place] = sum(key in value and value[key] == part[key] for key in part)
    best = [place for place, count in shared.items() if count and count == max(shared.values())]
    return best[0] if len(best) == 1 else ''


def _walk(value: Any, place: str) -> Iterator[tuple[str, Mapping]]:
    if isinstance(value, Mapping):
        yield place, value
        for key, inner in value.items():
            yield from _walk(inner, f'{place}.{key}' if place else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _walk(inner, f'{place}.{number}')
