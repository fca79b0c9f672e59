# SPDX-License-Identifier: Apache-2.0
"""The scores of :mod:`scripts.metrics.image` as MONAI metrics, for ``IgniteMetricHandler`` in a config.

A handler passes only a prediction and a target, so the body mask rides as a second channel of the target;
:class:`BodyPair` makes such pairs from an evaluator's output::

    psnr_PD_to_PDFS:
      _target_: IgniteMetricHandler
      metric_fn: {_target_: scripts.metrics.cumulative.BodyPSNR}
      output_transform: {_target_: scripts.metrics.cumulative.BodyPair, pred: pred, target: label, body: body}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction, convert_to_tensor, evenly_divisible_all_gather
from torch import Tensor

from scripts.metrics.image import DATA_RANGE, mae, match_gain, nmse, psnr, ssim


class BodyPair:
    """Take ``(predictions, [target, body])`` out of an evaluator's output: an ``output_transform`` of Ignite.

    Args:
        pred: key of the synthesised volume in each item.
        target: key of the volume it is measured against.
        body: key of the body mask.
    """

    def __init__(self, pred: str = "pred", target: str = "label", body: str = "body") -> None:
        self.keys = (pred, target, body)

    def __call__(self, output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        """Split the items, each volume ``(1, D, H, W)``, into predictions and ``(2, D, H, W)`` of target and body.

        Raises:
            ValueError: for an item that lacks one of the keys.
        """
        predictions, references = [], []
        for item in output:
            missing = [key for key in self.keys if key not in item]
            if missing:
                raise ValueError(f"the evaluator's output holds {sorted(item)}, the metric needs {missing} too")
            pred, target, body = (convert_to_tensor(item[key], track_meta=False) for key in self.keys)
            predictions.append(pred)
            references.append(torch.cat([target, body.to(target)], dim=0))
        return predictions, references


class BothDirections:
    """As `BodyPair`, for both directions at once: their mean is the score that training is steered by."""

    def __init__(self) -> None:
        self.pairs = (BodyPair("pred", "label"), BodyPair("pred_reverse", "image"))

    def __call__(self, output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        """Split the items of both directions into predictions and references, see `BodyPair`."""
        predictions, references = [], []
        for pair in self.pairs:
            found = pair(output)
            predictions += found[0]
            references += found[1]
        return predictions, references


class BodyMetric(CumulativeIterationMetric):
    """One score per volume inside the body, averaged over volumes.

    Args:
        measure: function of ``(pred, target, body)``, each ``(B, 1, D, H, W)``, to ``(B,)``.
        gain_matched: measure behind one least-squares gain per volume.
        reduction: how MONAI reduces over volumes.
    """

    def __init__(
        self,
        measure: Callable[[Tensor, Tensor, Tensor], Tensor],
        gain_matched: bool = False,
        reduction: MetricReduction | str = MetricReduction.MEAN,
    ) -> None:
        super().__init__()
        self.measure = measure
        self.gain_matched = gain_matched
        self.reduction = reduction

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None or y.ndim != 5 or y.shape[1] != 2:
            got = None if y is None else tuple(y.shape)
            raise ValueError(f"the target needs two channels, volume and body mask, (B, 2, D, H, W), got {got}")
        target, body = y[:, :1], y[:, 1:]
        if self.gain_matched:
            y_pred, _ = match_gain(y_pred, target, body)
        return self.measure(y_pred, target, body).unsqueeze(1)

    def _sync(self) -> None:
        """Gather the values of all processes; one that had no volume takes part with none.

        MONAI's own returns at once where there is nothing to give, and the other processes would wait for it.
        """
        if self._synced:
            return
        own = torch.stack(self._buffers[0]) if self._buffers else torch.zeros(0, 1, dtype=torch.float64)
        values = evenly_divisible_all_gather(own, concat=True)
        self._synced_tensors, self._synced = [values] if len(values) else None, True

    def aggregate(self, reduction: MetricReduction | str | None = None) -> Tensor:
        """Reduce the buffered values, ``(volumes, 1)``, in MONAI's manner.

        Raises:
            ValueError: when no volume was measured.
        """
        values = self.get_buffer()
        if not isinstance(values, Tensor):
            raise ValueError("no volume was measured")
        reduced: Tensor = do_metric_reduction(values, reduction or self.reduction)[0]
        return reduced


class BodyPSNR(BodyMetric):
    """PSNR in dB, see :func:`scripts.metrics.image.psnr`.

    Args:
        gain_matched: measure behind one least-squares gain per volume.
        data_range: the peak, 1.0 on the fixed scale.
        reduction: how MONAI reduces over volumes.
    """

    def __init__(
        self,
        gain_matched: bool = False,
        data_range: float = DATA_RANGE,
        reduction: MetricReduction | str = MetricReduction.MEAN,
    ) -> None:
        super().__init__(lambda pred, target, body: psnr(pred, target, body, data_range), gain_matched, reduction)


class BodySSIM(BodyMetric):
    """Slice-wise SSIM, see :func:`scripts.metrics.image.ssim`.

    Args:
        gain_matched: measure behind one least-squares gain per volume.
        data_range: the peak, 1.0 on the fixed scale.
        reduction: how MONAI reduces over volumes.
    """

    def __init__(
        self,
        gain_matched: bool = False,
        data_range: float = DATA_RANGE,
        reduction: MetricReduction | str = MetricReduction.MEAN,
    ) -> None:
        super().__init__(lambda pred, target, body: ssim(pred, target, body, data_range), gain_matched, reduction)


class BodyMAE(BodyMetric):
    """Mean absolute error, see :func:`scripts.metrics.image.mae`.

    Args:
        gain_matched: measure behind one least-squares gain per volume.
        reduction: how MONAI reduces over volumes.
    """

    def __init__(self, gain_matched: bool = False, reduction: MetricReduction | str = MetricReduction.MEAN) -> None:
        super().__init__(mae, gain_matched, reduction)


class BodyNMSE(BodyMetric):
    """Normalised squared error, see :func:`scripts.metrics.image.nmse`.

    Args:
        gain_matched: measure behind one least-squares gain per volume.
        reduction: how MONAI reduces over volumes.
    """

    def __init__(self, gain_matched: bool = False, reduction: MetricReduction | str = MetricReduction.MEAN) -> None:
        super().__init__(nmse, gain_matched, reduction)
