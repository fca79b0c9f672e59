# SPDX-License-Identifier: Apache-2.0
"""Let torchvision be imported beside a CPU build of torch.

MONAI Label imports torchvision for its picture grids. Package registries have it for Linux built against CUDA, and
that build stops at its import beside a CPU build of torch, because two operators that it describes are missing. Here
they are declared, without a computation, right before the import. `make label` puts this file into its environment.
"""

import importlib.metadata
import platform
import sys

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class DeclareOperators:
    """A finder that finds nothing, but is asked first; imports nothing heavy until torchvision is wanted."""

    library = None

    def find_spec(self, name, path=None, target=None):
        """Declare the operators once, if it is torchvision that is looked for."""
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        if torch.version.cuda is None and "+cpu" not in importlib.metadata.version("torchvision"):
            type(self).library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in OPERATORS:
                self.library.define(operator)


if sys.platform == "linux" and platform.machine() == "x86_64":
    sys.meta_path.insert(0, DeclareOperators())
