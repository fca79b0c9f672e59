# SPDX-License-Identifier: Apache-2.0
"""The package's README: the model zoo's form, the model card's facts, and no link that leads nowhere."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.packaging.archive import Package
from scripts.packaging.readme import card_parts, linked_files

ROOT = Path(__file__).resolve().parents[2]
CARD = (ROOT / "bundle" / "docs" / "README.md").read_text()
# Sections of the model zoo's template, in its order.
TEMPLATE = (
    *("### **Authors**", "### **Tags**", "## **Model Description**", "## **Data**", "#### **Preprocessing**"),
    *("## **Performance**", "## **Additional Usage Steps**", "## **System Configuration**", "## **Limitations**"),
    *("## **Citation Info**", "## **License**"),
)


@pytest.fixture(scope="module")
def page(shipped: Package) -> str:
    return shipped.files["docs/README.md"].decode()


def test_it_has_the_sections_of_the_template_in_order(page: str) -> None:
    places = [page.find(f"\n{heading}\n") for heading in TEMPLATE]
    assert -1 not in places
    assert places == sorted(places)


def test_every_section_says_something(page: str) -> None:
    pieces = re.split(r"^#{2,4} \*\*.+\*\*$", page, flags=re.MULTILINE)[1:]
    headings = re.findall(r"^#{2,4} \*\*(.+)\*\*$", page, flags=re.MULTILINE)
    empty = [name for name, text in zip(headings, pieces, strict=True) if not text.strip() and name != "Limitations"]
    assert empty in ([], ["Performance"])  # its scores stand in sections of their own


def test_every_line_of_the_model_card_is_in_it_and_no_other_figure(page: str) -> None:
    lines = [line.replace("bundle/configs", "configs") for line in CARD.splitlines()]
    told = [line for line in lines if line.strip() and not line.startswith("#")]
    assert [line for line in told if line not in page] == []
    scores = page[page.index("## **Performance**") : page.index("## **Additional Usage Steps**")]
    figures = set(re.findall(r"\d+\.\d+", scores))
    assert figures <= set(re.findall(r"\d+\.\d+", CARD))


def test_it_shows_a_figure_and_tells_limits_and_training_time(page: str, shipped: Package) -> None:
    pictures = re.findall(r"!\[.+\]\((.+)\)", page)
    assert pictures
    assert all(shipped.files[f"docs/{name}"].startswith(b"\x89PNG") for name in pictures)
    assert "Marrow oedema that is not visible on PD cannot appear" in page
    assert "minutes" in page[page.index("## **System Configuration**") :]


def test_no_link_leads_nowhere(shipped: Package) -> None:
    for path, content in shipped.files.items():
        if path.startswith("docs/") and path.endswith(".md"):
            for name in re.findall(r"\]\(([^)#:]+)\)", content.decode()):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
                assert target in shipped.files, f"{path} links to {name}"


def test_commands_name_configs_that_are_there(page: str, shipped: Package) -> None:
    named = set(re.findall(r"\bconfigs/[\w.]+", page))
    assert {"configs/train.yaml", "configs/evaluate.yaml", "configs/inference.yaml"} <= named
    assert named <= set(shipped.files)


def test_a_section_more_is_told_under_performance_and_one_less_is_refused() -> None:
    parts = card_parts(f"{CARD}\n## Robustness\n\nIt holds.\n")
    assert parts["scores"].endswith("#### **Robustness**\n\nIt holds.")
    with pytest.raises(UsageError, match="Known failures"):
        card_parts(CARD.replace("## Known failures", "## Failures"))


def test_links_are_followed_and_never_out_of_the_folder(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("[b](b.png) [back](README.md) [out](https://example.org/c.md) [here](#here)")
    (docs / "b.png").write_bytes(b"b")
    (tmp_path / "secret.txt").write_text("secret")
    assert set(linked_files("[a](a.md)", docs)) == {"a.md", "b.png"}
    (docs / "routes").mkdir()
    (docs / "routes" / "c.md").write_text("[d](d.sh) and [back](../a.md)")
    (docs / "routes" / "d.sh").write_text("")
    assert set(linked_files("[c](routes/c.md)", docs)) == {"a.md", "b.png", "routes/c.md", "routes/d.sh"}
    for name in ("c.md", "../secret.txt"):
        with pytest.raises(UsageError, match="mend the link"):
            linked_files(f"[x]({name})", docs)
