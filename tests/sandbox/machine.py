"""A machine of our own, of nothing but a kernel and Python, emulated by QEMU: for what this kernel does not have.

It has what `guest.py` needs and ends by itself within seconds. A kernel lies in /boot where one is installed (Debian:
linux-image-cloud-amd64, with qemu-system-x86).
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

EMULATOR = "qemu-system-x86_64"
SECONDS = 180
OURS = ("__init__.py", "moved.py", "errors.py", "sandbox/__init__.py", "sandbox/cgroups.py")
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "ensurepip", "tkinter", "lib2to3", "__pycache__"}


def kernel() -> Path | None:
    """A kernel that the emulator can start, if both are here."""
    found = sorted(Path("/boot").glob("vmlinuz*"))
    usable = platform.machine() == "x86_64" and shutil.which(EMULATOR)
    return found[-1] if found and usable else None


def boot(kernel: Path, folder: Path) -> str:
    """Start the machine; what it printed until it switched itself off.

    Args:
        kernel: to start.
        folder: for the files that it starts from.
    """
    start = folder / "start.gz"
    with gzip.open(start, "wb", compresslevel=1) as file:
        for part in _archive(dict(_files())):
            file.write(part)
    options = ["-m", "1500", "-nographic", "-no-reboot", "-nic", "none"]
    # What the kernel does not know goes to the first process: Python, which starts before there is randomness.
    told = "console=ttyS0 quiet panic=-1 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1"
    command = [EMULATOR, *options, "-kernel", str(kernel), "-initrd", str(start), "-append", told]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=True)
    return ended.stdout


def _files() -> Iterator[tuple[str, bytes]]:
    """Each file of the machine: Python as it runs here, the modules to try, and what is to be run."""
    python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    library = Path(sysconfig.get_path("stdlib"))
    paths = [
        path for path in library.rglob("*") if path.is_file() and not LEFT_OUT & {*path.relative_to(library).parts}
    ]
    binaries = [python, Path("/bin/cat"), *(path for path in paths if ".so" in path.name)]
    for path in {*paths, *binaries, *_libraries(binaries)}:
        yield str(path), path.read_bytes()
    for name in OURS:
        yield f"/trainloop/{name}", (ROOT / "trainloop" / name).read_bytes()
    guest = (ROOT / "tests/sandbox/guest.py").read_text(encoding="utf-8")
    yield "/init", re.sub("^#!.*", f"#!{python}", guest).encode()


def _libraries(binaries: list[Path]) -> set[Path]:
    """What the loader loads for them, and the loader itself; each under the name by which it is asked for."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    return {Path(name) for name in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.M)}


def _archive(files: dict[str, bytes]) -> Iterator[bytes]:
    """An archive as the kernel unpacks it: "newc" of cpio(5)."""
    folders = {str(parent) for name in files for parent in Path(name).parents}
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in sorted(folders, key=len)]
    entries += [(name, stat.S_IFREG | 0o755, content) for name, content in files.items()]
    for number, (name, mode, content) in enumerate([*entries, ("/TRAILER!!!", 0, b"")], start=1):
        inside = name.lstrip("/").encode() or b"."
        numbers = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(inside) + 1, 0)
        header = b"070701" + "".join(f"{each:08X}" for each in numbers).encode() + inside + b"\0"
        yield header + b"\0" * (-len(header) % 4)
        yield content + b"\0" * (-len(content) % 4)
