"""Lets every open of FILE wait, as one on a file system whose server is gone: hold_open.py FILE.

It prints `held`, and lets go at the end of its stdin. Needs CAP_SYS_ADMIN (fanotify(7)).
"""

import ctypes
import os
import sys

FAN_CLASS_CONTENT, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD = 4, 1, 0x10000, -100

libc = ctypes.CDLL(None, use_errno=True)
mark = libc.fanotify_mark
mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
group = libc.fanotify_init(FAN_CLASS_CONTENT, os.O_RDONLY)
if group < 0 or mark(group, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, os.fsencode(sys.argv[1])) < 0:
    raise OSError(ctypes.get_errno(), "fanotify")
print("held", flush=True)
sys.stdin.read()
