# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logger_levels() -> Iterator[None]:
    """Give loggers their levels back: the command line silences libraries for its process, which here goes on."""
    loggers = [logging.getLogger(name) for name in ("", *logging.Logger.manager.loggerDict)]
    levels = [(logger, logger.level) for logger in loggers]
    yield
    for name in logging.Logger.manager.loggerDict:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for logger, level in levels:
        logger.setLevel(level)
