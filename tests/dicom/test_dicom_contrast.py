# SPDX-License-Identifier: Apache-2.0
"""PD or PDFS from headers: whole tokens count, coded attributes before timing before words."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.dicom.contrast import SequenceFacts, classify, fat_is_open

TSE = {"scanning_sequence": ("SE",), "repetition_time": 3.0, "echo_time": 0.03}
SHORT = {**TSE, "repetition_time": 0.6, "echo_time": 0.012}
LONG_TE = {**TSE, "echo_time": 0.085}
SILENT: dict[str, Any] = {}


def original(*more: str) -> tuple[str, ...]:
    return ("ORIGINAL", "PRIMARY", *more)


CASES = [
    # plain spin echoes
    ("spin echo, no description", TSE, "PD"),
    ("real GE multi-echo at 25.2 ms", {"scanning_sequence": ("SE",), "repetition_time": 2.45, "echo_time": 0.025248,
        "scan_options": ("FAST_GEMS", "ACC_GEMS"), "image_type": original("OTHER"), "description": "ANONYMIZED"}, "PD"),
    ("its echo at 50.5 ms", {"scanning_sequence": ("SE",), "repetition_time": 2.45, "echo_time": 0.050496}, "other"),
    ("T1", SHORT, "other"),
    ("T2", LONG_TE, "other"),
    ("TR between T1 and PD, unnamed", {**TSE, "repetition_time": 1.3}, "unknown"),
    ("3-D TSE named PD", {**TSE, "repetition_time": 1.3, "description": "pd_space_sag"}, "PD"),
    ("TE 55 ms, named PD", {**TSE, "echo_time": 0.055, "description": "PDW TSE"}, "PD"),
    ("TE 55 ms, unnamed", {**TSE, "echo_time": 0.055}, "other"),
    ("TE 85 ms, named PD: the header wins", {**LONG_TE, "description": "PD"}, "other"),
    ("TR 600, named PD: the header wins", {**SHORT, "description": "PD FS"}, "other"),
    ("gradient echo", {"scanning_sequence": ("GR",), "repetition_time": 3.0, "echo_time": 0.03}, "other"),
    ("echo planar spin echo", {**TSE, "scanning_sequence": ("EP", "SE")}, "other"),
    ("no sequence type, no words", {"repetition_time": 3.0, "echo_time": 0.03}, "unknown"),
    ("research mode sequence named PD", {**TSE, "scanning_sequence": ("RM",), "description": "PDw"}, "PD"),
    ("empty header", SILENT, "unknown"),
    ("words alone: PD", {"description": "SAG PD TSE"}, "PD"),
    ("words alone: PDFS", {"description": "SAG PD FS"}, "PDFS"),
    ("words alone: T1", {"description": "COR T1 TSE"}, "other"),
    # ScanOptions
    ("FS token", {**TSE, "scan_options": ("PFP", "FS")}, "PDFS"),
    ("SFS token", {**TSE, "scan_options": ("SFS",)}, "PDFS"),
    ("GE fat saturation", {**TSE, "scan_options": ("SAT_GEMS", "EPI_GEMS", "PFF", "FS")}, "PDFS"),
    ("FS among GE bands, T2 timing", {**LONG_TE, "scan_options": ("SAT_GEMS", "FS")}, "other"),
    ("SAT_GEMS alone is a band", {**TSE, "scan_options": ("SAT_GEMS",)}, "PD"),
    ("SAT1 is a band", {**TSE, "scan_options": ("SAT1", "SAT2")}, "PD"),
    ("FSE_GEMS is no FS", {**TSE, "scan_options": ("FSE_GEMS", "FAST_GEMS")}, "PD"),
    ("FS token against a silent description", {**TSE, "scan_options": ("FS",), "description": "SAG PD"}, "PDFS"),
    # words for fat suppression
    *((f"words: {words}", {**TSE, "description": words}, "PDFS") for words in (
        "pd_tse_fs", "PD FS", "PD SPAIR", "PD FAT SAT", "PDFS", "PDw_SPAIR", "CORPDFS_FBK", "SAG PD FATSAT",
        "pd fat-sat", "Sag PD Fat Suppressed", "PD WE", "PD water excitation", "PDW_SPIR_SAG", "PD ASPIR",
        "PD_ChemSat", "PD ProSet", "PD TSE FS", "PD FSE FS", "pd_tse_dixon_sag_W", "WATER: Sag PD IDEAL", "SAG DP FS",
        "PD_FatSep", "pd-fs tra")),
    # words that only look like it
    *((f"words: {words}", {**TSE, "description": words}, "PD") for words in (
        "PD FSE", "PDW_TSE", "FSE PD", "SAG FRFSE PD", "CORPD_FBK", "PDFSE", "PD no FS", "PD non-fatsat",
        "PD without fs", "Sag PD offset", "knee flex PD", "PD HIFS", "proton density")),
    ("FSPGR", {"scanning_sequence": ("GR",), "description": "FSPGR", "echo_time": 0.003}, "other"),
    # vendor words
    *((f"{maker}: {text}", {**TSE, "description": text, "manufacturer": maker}, verdict) for maker, text, verdict in (
        ("SIEMENS", "pd_tse_fs_sag", "PDFS"), ("SIEMENS", "pd_tse_spair_cor", "PDFS"),
        ("SIEMENS", "pd_tse_tirm_cor", "other"), ("SIEMENS", "pd_tse_we_tra", "PDFS"),
        ("SIEMENS", "pd_tse_dixon_cor_W", "PDFS"), ("SIEMENS", "pd_tse_dixon_cor_in", "PD"),
        ("SIEMENS", "pd_tse_dixon_cor", "unknown"), ("SIEMENS", "pd_tse_sag", "PD"),
        ("GE MEDICAL SYSTEMS", "SAG PD FATSAT", "PDFS"), ("GE MEDICAL SYSTEMS", "Sag PD ChemSat", "PDFS"),
        ("GE MEDICAL SYSTEMS", "Cor PD SPECIAL", "PDFS"), ("GE MEDICAL SYSTEMS", "AX PD FR-FSE", "PD"),
        ("GE MEDICAL SYSTEMS", "WATER: Cor PD Flex", "PDFS"), ("GE MEDICAL SYSTEMS", "FAT: Sag PD IDEAL", "other"),
        ("GE MEDICAL SYSTEMS", "Sag PD IDEAL", "unknown"), ("GE MEDICAL SYSTEMS", "COR FSE STIR", "other"),
        ("Philips", "PDW_SPAIR SENSE", "PDFS"), ("Philips", "PDW_TSE_SPIR", "PDFS"), ("Philips", "PD ProSet", "PDFS"),
        ("Philips", "mDIXON_W PDW_TSE", "PDFS"), ("Philips", "PDW_TSE_HR", "PD"), ("Philips", "special PDW_TSE", "PD"),
        ("CANON_MEC", "PD FatSat", "PDFS"), ("TOSHIBA_MEC", "PD PASTA", "PDFS"), ("TOSHIBA_MEC", "PD WET", "PDFS"),
        ("HITACHI", "PD FatSep", "PDFS"), ("FUJIFILM", "PD FatSat", "PDFS"))),
    ("IDEAL by ScanOptions, part not named",
        {**TSE, "scan_options": ("IDEAL_GEMS",), "description": "SAG PD"}, "unknown"),
    ("FLEX by ScanOptions, water by ImageType",
        {**TSE, "scan_options": ("FLEX_GEMS",), "image_type": original("DIXON", "WATER")}, "PDFS"),
    ("FS in a sequence name", {**TSE, "sequence_name": "tse2d1_9 fs"}, "PDFS"),
    # what is neither
    ("STIR by words", {**TSE, "description": "COR STIR"}, "other"),
    ("TIRM by words", {**TSE, "description": "tirm_tra"}, "other"),
    ("inversion recovery", {**TSE, "scanning_sequence": ("IR", "SE"), "inversion_time": 0.18}, "other"),
    ("localiser", {**TSE, "image_type": original("LOCALIZER")}, "other"),
    ("T2 map", {**TSE, "image_type": ("DERIVED", "PRIMARY", "T2 MAP")}, "other"),
    ("phase image", {**TSE, "image_type": original("P", "ND")}, "other"),
    ("Dixon fat by ImageType", {**TSE, "image_type": original("F", "DIXON")}, "other"),
    ("Dixon fat by words", {**TSE, "description": "pd_tse_dixon_sag_F"}, "other"),
    ("Dixon opposed phase", {**TSE, "description": "pd_tse_dixon_sag_opp"}, "other"),
    ("Dixon water by ImageType", {**TSE, "image_type": original("W", "DIXON")}, "PDFS"),
    ("Dixon in phase", {**TSE, "image_type": original("IN_PHASE"), "description": "pd_tse_dixon_in"}, "PD"),
    # Enhanced MR
    ("enhanced fat suppression", {**TSE, "suppression": "FAT"}, "PDFS"),
    ("enhanced, fat and water", {**TSE, "suppression": "FAT_AND_WATER"}, "PDFS"),
    ("enhanced, water suppressed", {**TSE, "suppression": "WATER"}, "PD"),
    ("enhanced NONE against words", {**TSE, "suppression": "NONE", "description": "PD FS"}, "PD"),
    ("enhanced water excitation", {**TSE, "excitation": "WATER"}, "PDFS"),
    ("enhanced STIR", {**TSE, "acquisition_contrast": "STIR"}, "other"),
    ("enhanced phase image", {**TSE, "complex_component": "PHASE"}, "other"),
    ("enhanced inversion recovery", {**TSE, "inversion_recovery": "YES"}, "other"),
    ("enhanced T1", {**TSE, "acquisition_contrast": "T1"}, "other"),
    ("enhanced PD without sequence type",
        {**TSE, "scanning_sequence": (), "acquisition_contrast": "PROTON_DENSITY"}, "PD"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_contrast_from_header(facts: dict[str, Any], expected: str) -> None:
    contrast, evidence = classify(SequenceFacts(**facts))
    assert contrast == expected, evidence
    assert evidence


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 80 and len({case[0] for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("facts", "is_open"),
    [
        (TSE, True),
        ({**TSE, "description": "knee sag"}, True),
        ({**TSE, "description": "PD sag"}, False),
        ({**TSE, "description": "knee spair"}, False),
        ({**TSE, "scan_options": ("PFP",)}, False),
        ({**TSE, "suppression": "NONE"}, False),
    ],
)
def test_pixels_may_decide_only_where_the_header_is_silent(facts: dict[str, Any], is_open: bool) -> None:
    assert fat_is_open(SequenceFacts(**facts)) is is_open


def test_evidence_never_quotes_the_description() -> None:
    _, evidence = classify(SequenceFacts(**TSE, description="Mrs Miller PD FS left knee"))
    assert "miller" not in " ".join(evidence).lower()
