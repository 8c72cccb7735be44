"""Tools that the tests of launching need from the machine; where they are missing, a test says so."""

from __future__ import annotations

import os
import shutil

import pytest


def need(tool: str, package: str) -> str:
    """The path of a command. Without it the test is skipped; it fails with NN_TRAIN_ALL_TOOLS (make test-launch)."""
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin:/usr/lib/podman")
    if path is None:
        absent(f"{tool} not found: apt-get install {package}")
    return path


def need_root() -> None:
    """For tests that make network namespaces or containers."""
    if os.geteuid() != 0:
        absent("network namespaces and containers need root: run the tests as root")


def absent(reason: str) -> None:
    """End the test: it cannot be run here."""
    (pytest.fail if os.environ.get("NN_TRAIN_ALL_TOOLS") else pytest.skip)(reason)
