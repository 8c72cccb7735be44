"""A container engine of the tests' own: its storage and settings lie in one folder, all else in namespaces.

Mounts, networks, firewall rules and processes end with the first process of the namespaces, and that one with ours
(also when ours is killed).
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

from namespaces import Alone

TOOLS = ("buildah", "podman", "runc", "nft", "netavark", "aardvark-dns", "mmdebstrap", "newuidmap")
PACKAGES = "--no-install-recommends buildah podman runc nftables netavark aardvark-dns mmdebstrap uidmap"
# Images are built with the machine's network; containers have one of their own, from which no way leads out.
SPACES = ["--mount", "--pid", "--ipc"]
NETWORK = "--net"
ALONE = ["setpriv", "--pdeathsig", "KILL", "unshare", *SPACES, NETWORK, "--fork", "--kill-child", "--mount-proc"]
# $1: the engine's folder. Podman and buildah also write to fixed places, which are hidden here; names are still found
# where resolv.conf is a link into one of them.
INSIDE = r"""
set -e
cat /etc/resolv.conf > "$1/resolv.conf"
for place in /run /var/lib /dev/shm; do mount -t tmpfs none $place; done
[ -e /etc/resolv.conf ] || install -D "$1/resolv.conf" "$(readlink -m /etc/resolv.conf)"
ip link set lo up
touch "$1/ready"
sleep infinity & wait
"""
CGROUPS = Path("/sys/fs/cgroup")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # of the machine; Debian's place, in the image too
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
DEBIAN = "bookworm"  # the Debian whose Python is the 3.11 of the Dockerfile's base
# Python without what Debian says against installing beside its own packages: python:3.11-slim has none of that.
LIKE_PYTHONS_IMAGE = (
    'cd "$1" && rm -r usr/lib/python3.11/EXTERNALLY-MANAGED '
    "usr/lib/python3/dist-packages/wheel* usr/lib/python3/dist-packages/setuptools*"
)


def pip_conf() -> str:
    """A pip.conf by which an image finds the package index that this machine's pip uses."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {"cert": CERTIFICATES}
    for line in listed.stdout.splitlines():  # global.index-url='…', :env:.index-url='…'
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in PIP_SETTINGS:
            settings[name.rpartition(".")[2]] = value.strip("'")
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])


class Engine(Alone):
    """Buildah and podman on storage in ``folder``, which needs 10 GB for an image while it is built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files, processes = (resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        # A container without the right to raise limits cannot take more than this process may have.
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
            'shm_size = "1g"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
            f'[network]\nnetwork_config_dir = "{folder}/networks"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
        )
        (folder / "pip.conf").write_text(pip_conf())
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            "TMPDIR": str(folder),
        }

        self.process = subprocess.Popen([*ALONE, "sh", "-c", INSIDE, "engine", str(folder)], stdin=subprocess.DEVNULL)

    def call(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine; its exit code, and its output with the errors among it."""
        spaces = [*SPACES, NETWORK] if words[0] == "podman" else SPACES
        command = ["nsenter", f"--target={self.init}", *spaces, f"--wdns={self.folder}", *words]
        return subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )

    def output(self, *words: str, timeout: float = 60) -> str:
        """What a command says that has to succeed."""
        done = self.call(*words, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout[-5000:]}"
        return done.stdout.strip()

    def build_base(self, name: str) -> None:
        """A stand-in for the official image of Python, from Debian's packages: no registry is asked."""
        tar = self.folder / "base.tar"
        packages = "--include=python3,python3-pip,python-is-python3,ca-certificates"
        hook = f"--customize-hook={LIKE_PYTHONS_IMAGE}"
        self.output("mmdebstrap", "--quiet", "--variant=minbase", packages, hook, DEBIAN, str(tar), timeout=600)
        container = self.output("buildah", "from", "scratch")
        self.output("buildah", "add", "--quiet", container, str(tar), "/", timeout=300)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.output("buildah", "config", "--env", f"PATH={path}", container)
        self.output("buildah", "commit", "--quiet", "--rm", container, name, timeout=300)
        tar.unlink()

    def build(self, context: Path, name: str, base: str) -> None:
        """The Dockerfile of a folder; the machine's certificates and package index are there while it is built."""
        volumes = {CERTIFICATES: CERTIFICATES, str(self.folder / "pip.conf"): "/etc/pip.conf"}
        mounts = [word for here, there in volumes.items() for word in ("--volume", f"{here}:{there}:ro")]
        arguments = ["--isolation", "chroot", "--build-arg", f"BASE_IMAGE={base}", "--tag", name]
        self.output("buildah", "build", *arguments, *mounts, str(context), timeout=1200)

    def end(self) -> None:
        """Kill the first process, and with it all others; only the folder is left."""
        super().end()
        for folder in sorted(CGROUPS.glob("**/libpod_parent/**/"), reverse=True):
            with contextlib.suppress(OSError):  # somebody else's containers
                folder.rmdir()
