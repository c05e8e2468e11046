import warnings

from ts2net_mm.compat import silence_mmcv_lite

MMCV_LITE = 'Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``, install mmcv'


def test_only_the_warning_of_mmcv_lite_is_hidden():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        silence_mmcv_lite()
        warnings.warn(MMCV_LITE, stacklevel=1)
        warnings.warn('something else', stacklevel=1)
        warnings.warn('old', DeprecationWarning, stacklevel=1)
    assert [str(one.message) for one in seen] == ['something else', 'old']
