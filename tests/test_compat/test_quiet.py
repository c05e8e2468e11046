import warnings

import pytest

from ts2net_mm.compat import quiet_imports

MMCV_LITE = 'Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``, install mmcv'


def test_only_the_warning_of_mmcv_lite_is_hidden():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with quiet_imports():
            warnings.warn(MMCV_LITE, stacklevel=1)
            warnings.warn('something else', stacklevel=1)
            warnings.warn('old', DeprecationWarning, stacklevel=1)
        warnings.warn(MMCV_LITE, stacklevel=1)
    assert [str(one.message) for one in seen] == ['something else', 'old', MMCV_LITE]


def test_filters_of_the_imported_modules_stay():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        before = list(warnings.filters)
        with quiet_imports():
            warnings.filterwarnings('ignore', message='from a library')
        warnings.warn('from a library', stacklevel=1)
        assert list(warnings.filters)[1:] == before


def test_an_error_inside_passes_and_restores_the_filters():
    before = list(warnings.filters)
    with pytest.raises(ModuleNotFoundError, match='no_such_module'), quiet_imports():
        import no_such_module  # noqa: F401
    assert list(warnings.filters) == before
