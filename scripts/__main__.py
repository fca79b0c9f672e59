# SPDX-License-Identifier: Apache-2.0
"""``python -m scripts VERB`` is ``kneesynth VERB``."""

import sys

from scripts.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
