# SPDX-License-Identifier: Apache-2.0
"""The header of one image as plain facts; nothing of the patient is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scripts.dicom import identity
from scripts.dicom.anatomy import AnatomyFacts
from scripts.dicom.contrast import SequenceFacts
from scripts.dicom.files import frame_address


@dataclass(frozen=True)
class Header:
    """What the index needs to know of one image. Lengths in mm, times in seconds; None or "" where it is not said.

    Attributes:
        path: the file that holds it.
        frame: number of the frame within an Enhanced file, from 1; 0 for a file that is taken as a whole.
        frames: images that the header stands for: 1, unless the file cannot be taken apart.
        decoded_bytes: their size in memory.
        part: what tells the stacks of one Enhanced file apart beyond orientation and timing.
        whole: UID of the Enhanced instance or concatenation that its stack lies within; "" where it has many files.
        lossy: name of the lossy compression that the pixels went through.
        unknown_charset: the character set of its text is none that is known here.
        synthetic: the sign that the image was computed and not acquired, or "".
        marked_synthetic: SyntheticData is YES.
        patient_simulated: PatientID has the form that only simulated studies have.
        problem: why the file cannot be decoded, or "".
    """

    path: Path
    frame: int = 0
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    series_number: int = 0
    series_description: str = ""
    protocol: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    decoded_bytes: int = 0
    photometric: str = ""
    pixel_spacing: tuple[float, ...] | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    slice_thickness: float | None = None
    echo_number: int | None = None
    part: tuple[str, ...] = ()
    whole: str = ""
    facts: SequenceFacts = field(default_factory=SequenceFacts)
    anatomy: AnatomyFacts = field(default_factory=AnatomyFacts)
    lossy: str = ""
    unknown_charset: bool = False
    synthetic: str = ""
    marked_synthetic: bool = False
    ours: bool = False
    patient_simulated: bool = False
    problem: str = ""

    @property
    def enhanced(self) -> bool:
        """Whether the file is of a kind that holds whole stacks of frames."""
        return self.sop_class_uid in identity.ENHANCED_MR_STORAGES

    @property
    def address(self) -> Path:
        """The path that `read_stack` takes for this image."""
        return frame_address(self.path, self.frame) if self.frame else self.path
