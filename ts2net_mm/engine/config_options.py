"""Settings of the command line that act as if they stood in the config file."""

import ast
import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from ..utils.text import one_line

__all__ = ['merge_options']

# What a runner takes, and what it or a tool looks up in the config itself
RUN_SETTINGS = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'init_weights_for_test_or_val',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
}
MAX_PLACES = 3
NOT_SET = object()  # a setting that the file leaves at its default
NAME = '{target} = {value}'
# A copy, because an earlier name may be of the same object. What the config inherits from may have
# something else under the name.
NESTED = """
{top} = __import__('copy').deepcopy({top})
try:
    {target} = {value}
except (LookupError, TypeError):
    pass
"""


def merge_options(cfg: Config, options: Mapping[str, Any]) -> Config:
    """Merge settings into a config and into everything that its file makes of them.

    MMEngine merges into the finished config. There the names on top of a file, such as
    ``num_frames`` or ``video_pipeline``, have been copied to where they are used, and a new value
    for them changes nothing. For such a name the file is read again, and each assignment to it, in
    the file and in those that it inherits from, is followed by one of the new value.

    Args:
        cfg: The config as read from its file.
        options: New values by their path, such as ``model.neck.topk`` or ``num_frames``.

    Raises:
        ValueError: If a path is misspelt or does not exist, the file cannot be run with the value,
            or nothing is made from the name. The message names the settings that are used instead.
    """
    rest = dict(options)
    assigned: dict[str, Any] = {}
    for top in dict.fromkeys(key.partition('.')[0] for key in options):
        if top in RUN_SETTINGS:
            continue
        if top not in cfg:
            if similar := difflib.get_close_matches(top, {*cfg, *RUN_SETTINGS}, n=1):
                raise ValueError(f'{cfg.filename} has no {top!r}, did you mean {similar[0]!r}?')
            continue  # something new, which code of the user's own may look up
        own = {key: rest.pop(key) for key in options if key.partition('.')[0] == top}
        own = {key: value for key, value in own.items() if _look_up(cfg, key)[1] != value}
        if not own:
            continue
        assigned |= own
        changed = _read_with(cfg, assigned)
        if not any(changed.get(key) != value for key, value in cfg.items() if key != top):
            key = next(iter(own))
            raise ValueError(f'{key} changes nothing in {cfg.filename}{_advice(cfg, key)}')
        cfg = changed
    cfg.merge_from_dict(rest)
    return cfg


def _read_with(cfg: Config, assigned: Mapping[str, Any]) -> Config:
    """Read the config's file again with other values assigned."""
    statements: dict[str, list[ast.stmt]] = {}
    for key, value in assigned.items():
        top, target = key.partition('.')[0], _look_up(cfg, key)[0]
        code = NAME if target == top else NESTED
        lines = ast.parse(code.format(top=top, target=target, value=repr(value))).body
        statements.setdefault(top, []).extend(lines)
    try:
        with _assigning(statements):
            return Config.fromfile(str(cfg.filename), import_custom_modules=False)
    except Exception as error:  # a config is code: it may raise anything
        given = ', '.join(f'{key}={value!r}' for key, value in assigned.items())
        raise ValueError(
            f'{cfg.filename} cannot be read with {given}: {one_line(error)}'
        ) from error


def _look_up(cfg: Config, key: str) -> tuple[str, Any]:
    """Return a path with subscripts for what follows a dot, and what the config has there."""
    top, *path = key.split('.')
    found, target = cfg[top], top
    for number, name in enumerate(path):
        is_list = isinstance(found, Sequence) and not isinstance(found, str)
        subscript: Any = int(name) if is_list and name.isdigit() else name
        target += f'[{subscript!r}]'
        try:
            found = found[subscript]
        except (IndexError, KeyError, TypeError) as error:
            if isinstance(found, Mapping) and number == len(path) - 1:
                return target, NOT_SET
            raise ValueError(f'{cfg.filename} has no {key!r}') from error
    return target, found


@contextmanager
def _assigning(statements: Mapping[str, list[ast.stmt]]) -> Iterator[None]:
    """Let MMEngine, which parses a config before it runs it, see these assignments too."""
    parse = ast.parse

    def parse_and_assign(*args: Any, **kwargs: Any) -> Any:
        return ast.fix_missing_locations(_Assigner(statements).visit(parse(*args, **kwargs)))

    ast.parse = parse_and_assign
    try:
        yield
    finally:
        ast.parse = parse


class _Assigner(ast.NodeTransformer):
    """Follow each assignment to a name by further statements."""

    def __init__(self, statements: Mapping[str, list[ast.stmt]]) -> None:
        self.statements = statements

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[ast.stmt]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        assigned = {
            name.id
            for target in targets
            for name in ast.walk(target)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        return [node, *(line for name in assigned for line in self.statements.get(name, ()))]

    visit_AnnAssign = visit_AugAssign = visit_Assign

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node  # its variables are its own


def _advice(cfg: Config, key: str) -> str:
    """Name the settings of the run that have the last name of a path."""
    last = key.rpartition('.')[2]
    places = [
        place
        for top, value in cfg.items()
        if top in RUN_SETTINGS
        for place in _places(value, top, last)
    ]
    if not places:
        return ', because nothing is made from it'
    more = ', ...' if len(places) > MAX_PLACES else ''
    return f'; what is used is {", ".join(places[:MAX_PLACES])}{more}'


def _places(value: Any, path: str, last: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        pairs = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return
    for name, inner in pairs:
        if name == last:
            yield f'{path}.{name}'
        yield from _places(inner, f'{path}.{name}', last)
