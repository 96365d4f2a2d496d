"""CITATION.cff is of this release, and what CFF 1.2.0 asks for is in it."""

from __future__ import annotations

import configparser
from pathlib import Path

import yaml

from mascot_env.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_it_is_of_this_release() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert (
        str(CITED["version"]) == VERSION
        and CITED["license"] == setup["metadata"]["license"]
        and CITED["title"] == setup["metadata"]["name"]
    )


def test_it_has_what_the_format_asks_for() -> None:
    assert CITED["cff-version"] == "1.2.0" and CITED["type"] == "software" and CITED["message"]
    assert CITED["authors"] and all(a.get("name") or a.get("family-names") for a in CITED["authors"])
    (paper,) = CITED["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["authors"] and "2601.14230" in paper["url"]
    known = {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license", "keywords", "references"}
    assert set(CITED) <= known  # the format refuses other keys
