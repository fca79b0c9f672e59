# SPDX-License-Identifier: Apache-2.0
"""Files of the published schema with computed content: nothing of the data set is here."""

from __future__ import annotations

import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemFieldStrength_T>2.8936</systemFieldStrength_T></acquisitionSystemInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{oversampled}</x><y>{phases}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{double}</x><y>{across}</y><z>{thickness}</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{along}</x><y>{across}</y><z>{thickness}</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>31</maximum><center>16</center></kspace_encoding_step_1>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>
"""
SHAPE = (6, 32, 32)


def header(
    along: float = 16.0, across: float = 12.8, thickness: float = 3.0, rows: int = 32, columns: int = 32
) -> bytes:
    sizes = {"along": along, "across": across, "double": 2 * along, "thickness": thickness}
    return HEADER.format(**sizes, rows=rows, columns=columns, oversampled=2 * rows, phases=24).encode()


def knee(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Bright at the head, that is in the last rows: the files are stored upside down."""
    noise = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (1e-4 * (noise + np.linspace(0, 4, shape[1], dtype=np.float32)[None, :, None])).astype(np.float32)
