# SPDX-License-Identifier: Apache-2.0
"""Which echo and which excitation fills each line of k-space, and how T2 decay over the train filters the image.

A line that the echo at time ``t`` fills carries ``exp(-t / T2)``: a filter along the phase encoding that is another for
each T2. The filters of all tissues of a scan are nearly in a space of a few dimensions, so one transform per dimension
serves them all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.signal import Sequence


def effective_echo(sequence: Sequence) -> int:
    """Number of the echo, from 1, that fills the middle of k-space; those before it are only used in linear order."""
    if sequence.order == "centric":
        return 1
    return max(1, min(sequence.echo_train_length, round(sequence.echo_time / sequence.echo_spacing)))


def echo_times(sequence: Sequence) -> Tensor:
    """Times of the echoes that are used [s], float64 ``(ETL,)``; the effective one has exactly the echo time."""
    number = torch.arange(1, sequence.echo_train_length + 1, dtype=torch.float64)
    return sequence.echo_time + (number - effective_echo(sequence)) * sequence.echo_spacing


def echo_of_line(sequence: Sequence, line: Tensor) -> Tensor:
    """Echo, counted from 0, that fills each line of k-space.

    Each echo fills a band of equal width. Linear order goes through the train once from one edge of k-space to the
    other, shifted so that the effective echo is in the middle; what the shift pushes over the end of the train comes
    first. Centric order goes from the middle outwards on both sides; echoes before the effective one are not used.

    Args:
        sequence: the scan.
        line: phase-encoding steps from the middle, whole numbers, ``(n,)``.

    Returns:
        int64 ``(n,)``, values 0..ETL-1.
    """
    length, middle = sequence.echo_train_length, effective_echo(sequence) - 1
    line = line.to(torch.float64)
    width = (2 * line.abs().max() + 1) / length
    if sequence.order == "linear":
        return (middle + torch.floor(line / width + 0.5).long()) % length
    return torch.floor(2 * line.abs() / width).long().clamp(max=length - 1)


def shot_of_line(echo: Tensor) -> Tensor:
    """Excitation, counted from 0, that fills each line: the lines of one echo are filled one by one, int64 ``(n,)``."""
    order = torch.argsort(echo, stable=True)
    _, counts = torch.unique_consecutive(echo[order], return_counts=True)
    starts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    shot = torch.empty_like(echo)
    shot[order] = torch.arange(len(echo)) - starts
    return shot


def decay_basis(amplitude: Tensor, rate: Tensor, times: Tensor, middle: int, rank: int) -> tuple[Tensor, Tensor]:
    """Write the echoes of all tissues, ``amplitude exp(-rate times)``, as a few curves common to all.

    The curves are the leading singular vectors, with the effective echo weighted so that the image's mean is exact.

    Args:
        amplitude: of each tissue, ``(C,)``.
        rate: of its decay [1/s], ``(C,)``.
        times: of the echoes [s], ``(L,)``; times below zero count as zero.
        middle: number of the effective echo, from 0.
        rank: of the curves.

    Returns:
        Share of each curve in each tissue ``(C, rank)`` and the curves ``(rank, L)``, float64.
    """
    echoes = amplitude.double()[:, None] * torch.exp(-times.double().clamp_min(0) * rate.double()[:, None])
    weight = torch.ones_like(times, dtype=torch.float64)
    weight[middle] = 30.0
    curves = torch.linalg.svd(echoes * weight, full_matrices=False)[2][:rank]
    shares, curves = (echoes * weight) @ curves.T, curves / weight
    missing = rank - len(curves)
    if missing > 0:  # a train shorter than the rank needs no more curves than echoes
        shares = torch.cat((shares, shares.new_zeros(len(shares), missing)), dim=1)
        curves = torch.cat((curves, curves.new_zeros(missing, len(times))))
    return shares, curves
