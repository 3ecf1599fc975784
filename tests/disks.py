"""Disks that fill up: a small one that is mounted, or, where that is not allowed, files that are kept short."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SmallDisk:
    """A folder on a disk that can be filled and freed; not `mounted`, files of a process are kept short instead."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted

    def fill(self, pid: int = 0, *, but: int = 0) -> None:
        """Leave `but` octets; without a mount, those that process `pid` (0: this one) writes into one file."""
        if not self.mounted:
            _limit(pid, but)
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            while (space := os.statvfs(self.folder)).f_bavail * space.f_frsize > but:
                with suppress(OSError):  # somebody else was quicker
                    filler.write(bytes(min(space.f_bavail * space.f_frsize - but, 1 << 20)))

    def free(self, pid: int = 0) -> None:
        if not self.mounted:
            _limit(pid, resource.RLIM_INFINITY)
            return
        (self.folder / "filler").unlink()


def _limit(pid: int, octets: int) -> None:
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, most))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A disk of so many megabytes, at `folder`."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    disk = SmallDisk(folder, mounted=mounted)
    try:
        yield disk
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        else:
            _limit(0, resource.RLIM_INFINITY)
