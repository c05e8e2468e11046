"""A type has the same name in all ways to write it."""

import pytest
from mmengine.config import ConfigDict

from ts2net_mm.models import TS2Net
from ts2net_mm.utils.config_types import type_name


@pytest.mark.parametrize(
    'kind', ['TS2Net', 'mmaction.TS2Net', 'ts2net_mm.models.ts2net.TS2Net', TS2Net]
)
def test_every_way_to_write_a_type(kind):
    assert type_name(kind) == type_name(ConfigDict(type=kind)) == 'TS2Net'


def test_no_type():
    assert (
        type_name({}, default='OptimWrapper') == type_name(None, 'OptimWrapper') == 'OptimWrapper'
    )
