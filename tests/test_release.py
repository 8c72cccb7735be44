"""What says the version says the same one; a tag on this commit too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import nn_train

ROOT = Path(__file__).parents[1]


def newest_section():
    """The heading of the newest section of the changelog: (version, what follows it)."""
    heading = re.search(r"^## (\S+?)(?:, (.+))?$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    return heading[1], heading[2]


def test_the_changelog_the_citation_and_the_package_say_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest_section()[0] == citation["version"] == nn_train.__version__


def test_a_tag_on_this_commit_is_the_version_with_the_date_of_its_release():
    done = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    for tag in filter(re.compile(r"v\d").match, done.stdout.split()):
        version, released = newest_section()
        assert tag == f"v{version}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", released or ""), "the changelog's heading has no date"


def test_the_release_notes_are_the_newest_section():
    notes = subprocess.run(["make", "-s", "release-notes"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert notes.startswith(f"## {nn_train.__version__}")
    assert notes.count("\n## ") == 0
    assert notes in (ROOT / "CHANGELOG.md").read_text()


def test_the_hooks_before_a_commit_are_what_make_lint_calls():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    done = subprocess.run(["make", "-n", "-o", "setup", "lint"], cwd=ROOT, capture_output=True, text=True, check=True)
    called = [line for line in done.stdout.splitlines() if line.startswith(".venv/bin/")]
    assert [hook["entry"] for hook in hooks] == called


@pytest.mark.parametrize("python", ["3.10", "3.13"])
def test_continuous_integration_tests_the_oldest_and_the_newest_python(python):
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert python in workflow["jobs"]["quick"]["strategy"]["matrix"]["python-version"]
    assert f"Programming Language :: Python :: {python}" in (ROOT / "pyproject.toml").read_text()
