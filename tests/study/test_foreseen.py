# SPDX-License-Identifier: Apache-2.0
"""What another protocol would make of a lesion, in the same knee."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.study import foreseen as module
from scripts.study.detection import Recovered
from scripts.study.foreseen import Foreseen, foreseen
from scripts.study.knees import Twins, close_ups, rescanned
from scripts.study.page import recovery_table


@pytest.fixture(scope="module")
def cysts(tmp_path_factory: pytest.TempPathFactory) -> list[Twins]:
    return close_ups("baker_cyst", 2, 3, (64, 64), tmp_path_factory.mktemp("cache"), workers=1)


def test_another_protocol_scans_the_same_knee(cysts: list[Twins]) -> None:
    pair = cysts[0]
    first, second = rescanned(pair, 2)
    for present, absent in (first, second):
        changed = ((present - absent).abs() > 0.05) & (pair.lesion == 0)
        assert float(((present - absent) * pair.lesion).sum() / pair.lesion.sum()) > 0.1  # the cyst is bright
        assert float(changed.float().mean()) < 0.02  # and beside it nothing changed
        own = pair.targets[1][1].flatten()
        assert float(torch.corrcoef(torch.stack((own, absent.flatten())))[0, 1]) > 0.8
    assert float((first[0] - second[0]).abs().mean()) > 0.003  # by another protocol


def test_slopes_are_of_the_mean_contrast_over_protocols(cysts: list[Twins], monkeypatch: pytest.MonkeyPatch) -> None:
    def halves(pair: Twins, scans: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        present, absent = pair.targets[0][1], pair.targets[1][1]
        return [(absent + share * (present - absent), absent) for share in (0.2, 0.8)]

    monkeypatch.setattr(module, "rescanned", halves)
    (line,) = foreseen(cysts)
    assert (line.kind, line.lesions) == ("baker_cyst", 2)
    assert line.slope == pytest.approx(0.5)


def test_the_table_has_the_column_only_where_it_was_measured() -> None:
    found = [Recovered("baker_cyst", visible, 9, 0.4, 0.3, 0.5, 0.0) for visible in (True, False)]
    assert "another protocol" not in recovery_table(found)
    table = recovery_table(found, [Foreseen("baker_cyst", 20, 0.96, 0.5, 1.3)])
    assert "another protocol: slope [95 %]" in table and "| 0.96 [0.50, 1.30] |" in table


def test_the_results_lie_beside_those_of_the_look(tmp_path: Path) -> None:
    from scripts.study.results import FORESEEN
    from scripts.study.rows import read_csv, write_csv

    lines = [Foreseen("oedema", 3, 1.0, 0.9, 1.1)]
    (tmp_path / FORESEEN).write_text(write_csv(lines, Foreseen))
    assert read_csv(tmp_path / FORESEEN, Foreseen) == lines
