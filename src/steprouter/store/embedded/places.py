"""Where the embedded server keeps its files: data and locks in the data directory, the socket elsewhere."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from steprouter.errors import StoreError

SOCKET_BYTES = 107
"""The longest unix socket path Linux takes (`sun_path` of unix(7) less its end mark); Redis says so too."""


def default_data_dir() -> Path:
    """`$STEPROUTER_DATA`, else `steprouter` in the XDG data home (XDG Base Directory specification 0.8)."""
    chosen = os.environ.get("STEPROUTER_DATA")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "steprouter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The directories of one shared server.

    Attributes:
        data: The user's data directory, real path.
        locks: In it: lock files, `server.json`, `server.log`.
        socket: Where a server started from here would listen. One already running may listen elsewhere
            (another `$TMPDIR`), as its `server.json` says.
    """

    data: Path
    locks: Path
    socket: Path

    def lock(self, name: str) -> str:
        """The path of a lock file."""
        return str(self.locks / name)

    def family(self, family: str) -> Path:
        """The data of a server family: Redis cannot read Valkey's files, nor the other way round."""
        return self.data / family


def places(data_dir: str | os.PathLike[str] | None = None) -> Places:
    """Makes the directories, private to the user, and says where they are.

    Raises:
        StoreError: Every path for the socket is too long.
        OSError: A directory cannot be made (read-only, full, no permission).
    """
    data = Path(os.path.realpath(Path(data_dir) if data_dir is not None else default_data_dir()))
    locks = data / "embedded"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    locks.mkdir(mode=0o700, exist_ok=True)
    return Places(data=data, locks=locks, socket=socket_path(data))


def socket_path(data: Path) -> Path:
    """A socket path for the data directory that is private and short enough."""
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:24]
    names = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]  # noqa: S108 - the last and shortest resort
    for name in names:
        if not name or not os.access(name, os.W_OK | os.X_OK):
            continue
        path = Path(name) / f"steprouter-{os.getuid()}-{digest}" / "s"
        if len(os.fsencode(path)) <= SOCKET_BYTES:
            return path
    raise StoreError(
        f"a unix socket needs a writable directory whose path leaves room in {SOCKET_BYTES} bytes, "
        f"tried {[name for name in names if name]!r}; set TMPDIR to a short writable one"
    )


def make_private(folder: Path) -> None:
    """Makes the folder with mode 0700, or checks that it already is such a one and ours.

    Raises:
        StoreError: Somebody else made it; in a shared temporary directory that may be an attack.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StoreError(
                f"the socket's directory must be private to this user, got {str(folder)!r}; remove it"
            ) from None
