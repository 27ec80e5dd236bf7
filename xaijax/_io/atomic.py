"""Writes files that hold either their old content or all of the new one, and explains why a disk refuses.

The content goes to a file with a temporary name in the same folder. That file is flushed to the disk and then renamed,
which replaces the old file in one step. A full disk, a crash or a loss of power leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

UNFINISHED = "*.new"  # the names of files that are being written

_MENDED_BY_THE_USER = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "a file there may not grow that large: raise the limit (ulimit -f), or write smaller parts",
    errno.EACCES: "writing there is not permitted: change the permissions, or choose another folder",
    errno.EPERM: "writing there is not permitted: change the permissions, or choose another folder",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.ENOTDIR: "a part of its path is a file and not a folder: choose another path",
    errno.EEXIST: "a file or a dangling symbolic link has this path: remove it, or choose another path",
    errno.EISDIR: "its path is that of a folder: choose the path of a file",
    errno.ENAMETOOLONG: "its name is too long: choose a shorter one",
    errno.ELOOP: "its path is a circle of symbolic links: choose another path",
}


@contextlib.contextmanager
def writing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Opens a file that replaces `path` when the block ends without an error.

    Symbolic links are followed: the file that they point to is replaced, and the links stay.

    Args:
      path: the file to write; its folder must exist.
      durable: whether the content must survive a loss of power, which costs some milliseconds.

    Raises:
      OSError: if the file cannot be written; the message says why, and the file that was there is unchanged.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = target.parent / f".{secrets.token_hex(8)}.new"
        try:
            with open(temporary, "x+b") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if durable:
            synchronize(target.parent)
    except OSError as error:
        raise not_written(path, error) from error


def write_file(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Writes a whole file in one step; text as UTF-8, with the line endings it has.

    Raises:
      OSError: if the file cannot be written; the message says why, and the file that was there is unchanged.
    """
    with writing(path, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


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
    """Returns the number of the operating system's error, from its own exceptions and from those of tensorstore."""
    if isinstance(error, OSError):
        return error.errno
    number = re.search(r"os_error_code='(\d+)'", str(error))
    return int(number.group(1)) if number else None


def is_for_the_user(error: BaseException) -> bool:
    """Returns whether only the user can help, so that trying again cannot."""
    return error_number(error) in _MENDED_BY_THE_USER


def reason(error: BaseException) -> str:
    """Returns why the disk refused, and the likely fix."""
    return _MENDED_BY_THE_USER.get(error_number(error) or 0, f"the system reports: {error}")


def not_written(path: Path, error: OSError) -> OSError:
    """Returns the error of a file that cannot be written, of the same class and with the same number, as a sentence."""
    if error.errno == errno.ENOENT:
        why = f"there is no folder {str(path.parent)!r}: create it first"
    else:
        why = reason(error)
    return type(error)(
        error.errno or errno.EIO, f"{path} cannot be written, as {why}. A file that was there is unchanged"
    )
