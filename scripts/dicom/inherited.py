# SPDX-License-Identifier: Apache-2.0
"""The header of a source, and what a new instance takes over from it: a whitelist, since a clone carries too much."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.dicom.copying import copy_elements
from scripts.dicom.files import split_address
from scripts.dicom.pixels import LOSSY_SYNTAXES
from scripts.dicom.values import quiet, text
from scripts.errors import DecodeError, KneeSynthError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset

# Copied verbatim with the character set that they are written in.
PATIENT_AND_STUDY = (
    "SpecificCharacterSet TimezoneOffsetFromUTC PatientName PatientID IssuerOfPatientID OtherPatientIDs "
    "PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize PatientWeight PatientIdentityRemoved "
    "DeidentificationMethod DeidentificationMethodCodeSequence ClinicalTrialSponsorName ClinicalTrialProtocolID "
    "ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID "
    "ClinicalTrialSubjectReadingID ClinicalTrialTimePointID StudyInstanceUID StudyDate StudyTime StudyID "
    "AccessionNumber StudyDescription ReferringPhysicianName"
).split()

# Type 2 of these modules: present, empty where the source does not say (anonymised files often lack them).
_MAY_BE_EMPTY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
    "ReferringPhysicianName"
).split()

# What was lost once is lost for good, and what is seen or written in the source's pixels may be in the new ones.
FLAGS = (
    "BurnedInAnnotation RecognizableVisualFeatures LossyImageCompression LossyImageCompressionRatio "
    "LossyImageCompressionMethod"
).split()


def read_source(file: Path) -> Dataset:
    """Parse the header of a source.

    What is copied from it must not have been looked into before, see `copy_elements`: who looks first reads twice.

    Args:
        file: a file, or the address of a frame in it.

    Raises:
        DecodeError: it cannot be parsed, or is no DICOM image.
    """
    import pydicom

    path, _ = split_address(Path(file))
    try:
        with quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            known = dataset.get_item("SOPClassUID") is not None
    except Exception as error:  # a damaged header fails in many ways
        raise DecodeError(f"{path.name} cannot be parsed ({type(error).__name__}); export the series again") from error
    if not known:
        raise DecodeError(f"{path.name} is no DICOM image; give the files of one MR stack")
    return dataset


@contextmanager
def damage_refused(file: Path) -> Iterator[None]:
    """Call it a refusal where what is copied from a header, and parsed for the first time by that, is damaged.

    Args:
        file: a source, or the address of a frame in it.

    Raises:
        DecodeError: something else than a refusal went wrong.
    """
    try:
        yield
    except (KneeSynthError, MemoryError):
        raise
    except Exception as error:  # damaged elements fail in many ways
        raise DecodeError(
            f"{split_address(file)[0].name}: its series cannot be copied from ({type(error).__name__}); "
            "need sound headers; export the series again"
        ) from error


def inherit(source: Dataset, target: Dataset, keywords: Iterable[str], may_be_empty: Iterable[str] = ()) -> None:
    """Copy patient, study and the named attributes.

    Args:
        source: freshly read and not looked into before, see `copy_elements`.
        target: to be filled.
        keywords: further attributes to copy where the source has them.
        may_be_empty: of these, the ones that must be there even if the source has no value.
    """
    copy_elements(source, target, (*PATIENT_AND_STUDY, *keywords))
    for keyword in (*_MAY_BE_EMPTY, *may_be_empty):
        if keyword not in target:
            setattr(target, keyword, None)


def mark_lossy(source: Dataset, target: Dataset) -> None:
    """Say that the source's pixels are lossy where only its transfer syntax says so."""
    syntax = text(getattr(source, "file_meta", None), "TransferSyntaxUID")
    if syntax in LOSSY_SYNTAXES and text(source, "LossyImageCompression") != "01":
        target.LossyImageCompression = "01"
        target.LossyImageCompressionMethod = LOSSY_SYNTAXES[syntax]
