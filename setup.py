"""Builds the package with its configs and tools inside, where MMEngine and mim look for them."""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
MIM = Path('ts2net_mm/.mim')
# MMEngine wants a folder in the names of configs: ts2net_mm::ts2net/ts2net_msrvtt.py
CONFIGS = 'configs/ts2net'
METAFILE = 'metafile.yml'


class BuildWithConfigs(build_py):
    """Adds ``ts2net_mm/.mim``: configs, tools and model index.

    A wheel gets copies; an editable installation gets links in the source tree, where git ignores
    them, so that an edited config is the one that is read.
    """

    def run(self):
        """Build, then add the folder."""
        super().run()
        # what an earlier build has left there
        shutil.rmtree(self._target(MIM), ignore_errors=True)
        for path in self._relative_paths():
            self._place(path)
        metafile = self._target(MIM / CONFIGS / METAFILE)
        metafile.write_text(
            (HERE / 'configs' / METAFILE).read_text().replace(': configs/', f': {CONFIGS}/')
        )
        index = self._target(MIM / 'model-index.yml')
        index.write_text(f'Import:\n  - {CONFIGS}/{METAFILE}\n')

    def get_outputs(self, include_bytecode=True):
        """List what is built."""
        outputs = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        added = (path for path in self._target(MIM).rglob('*') if path.is_file())
        return [*outputs, *map(str, added)]

    def _relative_paths(self):
        """List the files of configs/ and tools/, relative to the sources."""
        return sorted(
            path.relative_to(HERE)
            for folder in ('configs', 'tools')
            for path in (HERE / folder).rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
        )

    def _target(self, path):
        """Return where a file goes, and make its folder."""
        target = (HERE if self.editable_mode else Path(self.build_lib)) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _place(self, path):
        inside = CONFIGS / path.relative_to('configs') if path.parts[0] == 'configs' else path
        if inside.name == METAFILE:
            return  # written by run, with other paths
        target = self._target(MIM / inside)
        if self.editable_mode:
            try:
                target.symlink_to(os.path.relpath(HERE / path, target.parent))
                return
            except OSError:
                pass  # a file system without links
        shutil.copy(HERE / path, target)


setup(cmdclass={'build_py': BuildWithConfigs})
