"""What tests of several packages need."""

import logging

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _mmaction_scope():
    """Let no test depend on the scope that another has left; fresh processes test having none."""
    init_default_scope('mmaction')


@pytest.fixture
def log_records():
    """The records that the current MMEngine logger gets, which pytest's caplog does not see."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)
