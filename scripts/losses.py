# SPDX-License-Identifier: Apache-2.0
"""The three losses of shared-content translation, each on its own and weighted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn as nn
import torch.nn.functional as F

TERMS = ("content", "recon", "cross")


class CrossContrastLoss(nn.Module):
    """Weighted sum of content, recon and cross, and of what may be added to cross.

    ``content = |z_a - z_b|``, ``recon = |a_from_a - a| + |b_from_b - b|``, ``cross = |b_from_a - b| + |a_from_b - a|``,
    each ``| |`` the mean absolute difference. Images may instead be compared by the smooth absolute difference (Huber's
    over its threshold): a network that cannot tell fat from fluid yet answers the median, which is fat, to the absolute
    difference, and the mean, from which it can be corrected, to the squared one. ``structure`` is 1 - SSIM of both
    cross images (Gaussian windows of 11 pixels), ``edges`` the mean absolute difference of their gradients.

    Args:
        weights: one weight for each of `TERMS`.
        squared_below: differences between images below this count squared, ``d^2 / (2 squared_below)``, those above as
            ``d - squared_below / 2``; 0 is the absolute difference.
        recon_of: what same-domain paths are compared with: ``target``, which has no noise where targets have none, so
            that recon denoises; or ``input``, so that recon is the identity, noise and all.
        content_anchor: ``a`` or ``b``: that contrast's code is not moved by content, the other is drawn to it; None
            moves both.
        structure: weight of the term of that name; without one it is not computed.
        edges: likewise.
        lesions: how much more than other pixels those of a known lesion count in the differences of cross. A lesion
            fills a thousandth of a knee, so that what it looks like hardly counts at its true share.

    Raises:
        ValueError: for a missing, unknown or negative weight, a negative threshold or an unknown choice.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        squared_below: float = 0.0,
        recon_of: str = "target",
        content_anchor: str | None = None,
        structure: float = 0.0,
        edges: float = 0.0,
        lesions: float = 0.0,
    ) -> None:
        super().__init__()
        if set(weights) != set(TERMS) or min(weights.values()) < 0:
            raise ValueError(f"loss_weights is {dict(weights)}; need one weight >= 0 for each of {', '.join(TERMS)}.")
        if min(structure, edges, lesions) < 0:
            raise ValueError(
                f"structure weighs {structure:g}, edges {edges:g} and lesions {lesions:g}; need weights >= 0."
            )
        if squared_below < 0:
            raise ValueError(f"squared_below is {squared_below:g}; need 0 or a positive difference between images.")
        if recon_of not in ("target", "input") or content_anchor not in (None, "a", "b"):
            raise ValueError(
                f"recon_of is {recon_of!r} and content_anchor {content_anchor!r}; need target or input, and a, b or "
                "nothing."
            )
        extras = {"structure": float(structure), "edges": float(edges)}
        self.weights = {term: float(weights[term]) for term in TERMS} | {k: v for k, v in extras.items() if v > 0}
        self.squared_below, self.lesions = float(squared_below), float(lesions)
        self.recon_of, self.content_anchor = recon_of, content_anchor
        self.extras = {term: _EXTRA[term]() for term in extras if term in self.weights}

    @property
    def needs_same_domain(self) -> bool:
        """Whether same-domain paths count; where they do not, they need not be computed."""
        return self.weights["recon"] > 0

    def forward(
        self,
        paths: Mapping[str, torch.Tensor],
        a: torch.Tensor,
        b: torch.Tensor,
        inputs: tuple[torch.Tensor, torch.Tensor] | None = None,
        lesion: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute the terms.

        Args:
            paths: what `CrossContrastNet.pair` returns; a network without a code or without same-domain paths leaves
                them out, and their terms are zero.
            a: target of contrast ``a``, ``(B, 1, H, W)``.
            b: target of contrast ``b``.
            inputs: what the network was given of both contrasts; the targets if None.
            lesion: share of each pixel that lesions changed, 0 to 1, shape of ``a``, where it is known.

        Returns:
            Scalars ``loss`` (weighted) and one per term (unweighted), in float32.
        """

        def distance(x: str, y: torch.Tensor, share: torch.Tensor | None = None) -> torch.Tensor:
            return self.difference(paths[x].float(), y.float(), share)

        nothing = torch.zeros((), device=a.device)
        same_a, same_b = (a, b) if self.recon_of == "target" or inputs is None else inputs
        terms = {
            "content": self._content(paths["z_a"].float(), paths["z_b"].float()) if "z_a" in paths else nothing,
            "recon": distance("a_from_a", same_a) + distance("b_from_b", same_b) if "a_from_a" in paths else nothing,
            "cross": distance("b_from_a", b, lesion) + distance("a_from_b", a, lesion),
        }
        for term, compare in self.extras.items():
            terms[term] = sum((compare(paths[x].float(), y.float()) for x, y in _crossing(a, b)), nothing)
        loss = sum((self.weights[term] * value for term, value in terms.items()), nothing)
        return {"loss": loss, **terms}

    def difference(
        self, prediction: torch.Tensor, target: torch.Tensor, lesion: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean difference between two images; a pixel of a lesion counts ``1 + lesions``, others once."""
        if lesion is None or self.lesions == 0:
            return F.smooth_l1_loss(prediction, target, beta=self.squared_below)
        each = F.smooth_l1_loss(prediction, target, beta=self.squared_below, reduction="none")
        return (each * (1 + self.lesions * lesion)).mean()

    def _content(self, z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
        if self.content_anchor == "a":
            z_a = z_a.detach()
        elif self.content_anchor == "b":
            z_b = z_b.detach()
        return F.l1_loss(z_a, z_b)


def _crossing(a: torch.Tensor, b: torch.Tensor) -> tuple[tuple[str, torch.Tensor], ...]:
    return (("b_from_a", b), ("a_from_b", a))


class _Edges(nn.Module):
    """Mean absolute difference of finite differences along rows and columns."""

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        error = prediction - target
        return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


class _Structure(nn.Module):
    """1 - SSIM (Wang et al., IEEE Trans. Image Process. 2004;13:600) of images whose values run from 0 to 1.

    The value is that of MONAI's ``SSIMLoss``, but the windows are applied along rows and along columns, as products
    with matrices: MONAI's convolution of one channel with 11 x 11 took a third of a training step on a CPU.
    """

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        several = torch.cat((prediction, target, prediction**2, target**2, prediction * target), dim=1)
        rows, columns = (_windows(side, several) for side in several.shape[-2:])
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = (rows @ several @ columns.T).unbind(dim=1)
        variances = mean_xx - mean_x**2 + mean_yy - mean_y**2
        covariance = mean_xy - mean_x * mean_y
        contrast = (2 * covariance + _SSIM_CONTRAST) / (variances + _SSIM_CONTRAST)
        luminance = (2 * mean_x * mean_y + _SSIM_LUMINANCE) / (mean_x**2 + mean_y**2 + _SSIM_LUMINANCE)
        return 1 - (luminance * contrast).mean()


_SSIM_REACH, _SSIM_DEVIATION = 5, 1.5
"""Half of a window and one standard deviation of its weights [pixels]."""
_SSIM_LUMINANCE, _SSIM_CONTRAST = 0.01**2, 0.03**2
"""The constants that keep the quotients finite."""


def _windows(side: int, like: torch.Tensor) -> torch.Tensor:
    """Weights of all windows that fit into a side, ``(side - 10, side)``, one window per row."""
    pixels = torch.arange(side, device=like.device, dtype=like.dtype)
    centres = pixels[_SSIM_REACH : side - _SSIM_REACH, None]
    weights = torch.exp(-(((pixels - centres) / _SSIM_DEVIATION) ** 2) / 2)
    weights = weights.masked_fill((pixels - centres).abs() > _SSIM_REACH, 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


_EXTRA: dict[str, Callable[[], nn.Module]] = {"structure": _Structure, "edges": _Edges}
