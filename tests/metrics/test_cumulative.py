# SPDX-License-Identifier: Apache-2.0
"""The scores behind MONAI's metric handler, as a config uses them."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser

from scripts.metrics.cumulative import BodyMAE, BodyNMSE, BodyPair, BodyPSNR, BodySSIM, BothDirections
from scripts.metrics.image import mae, match_gain, nmse, psnr, ssim


def items(count: int) -> list[dict[str, torch.Tensor]]:
    """Decollated evaluator output: patients of unlike size, each volume ``(1, D, H, W)``."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for number in range(count):
        label = torch.rand((1, 2 + number, 16, 18), generator=generator)
        body = torch.zeros_like(label, dtype=torch.bool)
        body[..., 3:-3, 2:-2] = True
        made.append({"label": label, "pred": 0.7 * label + 0.05 * (number + 1), "body": body})
    return made


def test_the_handler_reports_the_mean_over_patients() -> None:
    output = items(3)
    handler = ConfigParser(
        {
            "handler": {
                "_target_": "IgniteMetricHandler",
                "metric_fn": {"_target_": "scripts.metrics.cumulative.BodyPSNR"},
                "output_transform": {"_target_": "scripts.metrics.cumulative.BodyPair"},
            }
        }
    ).get_parsed_content("handler")
    engine = Engine(lambda _, batch: batch)
    handler.attach(engine, "psnr")
    engine.run([output[:1], output[1:2], output[2:]])
    expected = [psnr(item["pred"][None], item["label"][None], item["body"][None]) for item in output]
    assert engine.state.metrics["psnr"] == pytest.approx(float(torch.cat(expected).mean()), rel=1e-5)
    details = engine.state.metric_details["psnr"]  # type: ignore[attr-defined]
    torch.testing.assert_close(details[:, 0].double(), torch.cat(expected))


@pytest.mark.parametrize(("metric", "measure"), [(BodyPSNR, psnr), (BodySSIM, ssim), (BodyMAE, mae), (BodyNMSE, nmse)])
def test_each_metric_is_its_function(metric, measure) -> None:  # type: ignore[no-untyped-def]
    item = items(1)[0]
    volumes = [item[key][None] for key in ("pred", "label", "body")]
    pair = BodyPair()([item])
    torch.testing.assert_close(metric()(*pair)[0, 0], measure(*volumes)[0])
    matched, _ = match_gain(*volumes)
    torch.testing.assert_close(metric(gain_matched=True)(*pair)[0, 0], measure(matched, *volumes[1:])[0])


def test_both_directions_weigh_alike() -> None:
    output = [item | {"image": item["label"] + 1, "pred_reverse": item["label"] + 1.01} for item in items(3)]
    metric = BodyPSNR()
    metric(*BothDirections()(output))
    forth = [psnr(item["pred"][None], item["label"][None], item["body"][None]) for item in output]
    mean = (float(torch.cat(forth).mean()) + 40.0) / 2
    assert float(metric.aggregate()) == pytest.approx(mean, rel=1e-4)


def test_what_is_missing_is_named() -> None:
    item = items(1)[0]
    del item["body"]
    with pytest.raises(ValueError, match=r"needs \['body'\]"):
        BodyPair()([item])
    with pytest.raises(ValueError, match="two channels"):
        BodyPSNR()(torch.zeros(1, 1, 2, 16, 16), torch.zeros(1, 1, 2, 16, 16))
    with pytest.raises(ValueError, match="no volume"):
        BodyPSNR().aggregate()
