"""Whether the disk still has room: asked before anything is charged or begun.

A full disk is found before a round costs a site a charge, and ends no process: work waits until
somebody has made room, and goes on by itself.
"""

import errno
import shutil
from pathlib import Path

MEGABYTE = 10**6
FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


def lacks_room(folder: Path, megabytes: float) -> str:
    """Return what is wrong with the disk of a folder, or an empty text.

    Args:
        folder: that exists.
        megabytes: that must be free, 10^6 bytes each.
    """
    free = shutil.disk_usage(folder).free / MEGABYTE
    if free >= megabytes:
        return ""
    wanted = f"{folder}: {free:.0f} MB free, {megabytes:g} are needed."
    return f"{wanted} Free space; all goes on by itself."


def is_full(error: OSError) -> bool:
    """Tell whether an error means that the disk, or this user's part of it, is full."""
    return error.errno in FULL
