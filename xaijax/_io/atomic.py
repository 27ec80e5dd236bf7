"""Files that are there whole or not at all, and what disks say when they cannot."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

_MENDED_BY_HAND = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota of this disk is used up: free some space",
    errno.EFBIG: "a file there may not grow so large: raise the limit (ulimit -f), or take a smaller batch_size",
    errno.EACCES: "it may not be written to: change its permissions, or choose another place",
    errno.EPERM: "it may not be written to: change its permissions, or choose another place",
    errno.EROFS: "it lies on a disk that is read-only: choose another place",
    errno.ENOTDIR: "a part of its path is a file and no folder: choose another place",
}

UNFINISHED = "*.new"  # the names of files that are being written


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is found with all of the text, or with what it had before: beside it, synchronized, renamed."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    synchronize(path.parent)


def synchronize(folder: Path) -> None:
    """Makes the names in a folder survive a loss of power."""
    if os.name == "nt":  # where folders cannot be opened
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def error_number(error: BaseException) -> int | None:
    """The number of the operating system's error, in its own exceptions and in those of tensorstore."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os_error_code='(\d+)'", str(error))
    return int(found.group(1)) if found else None


def is_for_the_user(error: BaseException) -> bool:
    """Whether trying again cannot help."""
    return error_number(error) in _MENDED_BY_HAND


def not_written(folder: Path, error: BaseException) -> OSError:
    """The error of a store that cannot be written, as a sentence."""
    number = error_number(error)
    reason = _MENDED_BY_HAND.get(number or 0, f"the system says: {error}")
    return OSError(
        number or errno.EIO,
        f"the store {folder} cannot be written, as {reason}; then start the same command again: what is finished is kept",
    )
