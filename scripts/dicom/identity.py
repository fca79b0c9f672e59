# SPDX-License-Identifier: Apache-2.0
"""Who wrote a file: the names and UIDs by which instances of this project are recognised."""

from __future__ import annotations

import hashlib
import uuid

MANUFACTURER = "Knee Contrast Synthesis"
"""(0008,0070) of every instance written here, derived or simulated."""

SIMULATED_PATIENT_PREFIX = "SIMULATED-"
"""PatientID of simulated studies; no hospital number looks like it."""

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4.1"
ENHANCED_MR_STORAGES = frozenset({ENHANCED_MR_STORAGE, "1.2.840.10008.5.1.4.1.1.4.4"})
"""Enhanced MR and Legacy Converted Enhanced MR Image Storage."""
SECONDARY_CAPTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"

IMPLEMENTATION_VERSION_NAME = "KNEESYNTH_1"


def uid_from(*parts: str | bytes) -> str:
    """Make a UID that is a function of its parts alone.

    The parts are hashed with their lengths, so that moving a border between two parts gives another UID. The result is
    a UUID-derived UID (PS3.5 B.2): root ``2.25`` and 128 bits.

    Args:
        parts: anything that tells this object from every other one.

    Returns:
        A UID of at most 44 characters.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"


IMPLEMENTATION_CLASS_UID = uid_from("implementation class", MANUFACTURER)
