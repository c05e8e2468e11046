"""MMAction2 beside a transformers that its multi-modal models cannot use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter that finds the packages of a folder first."""
    paths = os.pathsep.join((str(folder), str(REPOSITORY)))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    return subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def install(tmp_path):
    """Function that puts a transformers of a given content into a folder."""

    def install(modeling_utils: str) -> Path:
        package = tmp_path / 'transformers'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / 'modeling_utils.py').write_text(modeling_utils)
        metadata = tmp_path / 'transformers-99.0.dist-info'
        metadata.mkdir()
        (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 99')
        return tmp_path

    return install


@pytest.mark.slow
def test_a_transformers_that_is_too_new(install):
    folder = install('class PreTrainedModel: ...\n')
    broken = python('import sys, mmaction.utils.dependency as d; print(d.WITH_MULTIMODAL)', folder)
    assert broken.stdout.split()[-1] == 'True', broken.stderr
    code = """
import ts2net_mm, mmaction.models, mmpretrain.models
from mmaction.registry import MODELS
try:
    MODELS.build(dict(type='VindLURetrieval'))
except ImportError as error:
    print(error)
"""
    mended = python(code, folder)
    assert mended.returncode == 0, mended.stderr
    assert 'requires extra multi-modal dependencies' in mended.stdout


@pytest.mark.slow
def test_one_that_serves_is_left_alone(install):
    folder = install('def apply_chunking_to_forward(): ...\n')
    code = """
import ts2net_mm, mmaction.utils.dependency
print(mmaction.utils.dependency.WITH_MULTIMODAL)
"""
    result = python(code, folder)
    assert result.stdout.split()[-1:] == ['True'], result.stderr
