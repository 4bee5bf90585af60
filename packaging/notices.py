"""The licences of what is linked into the binary: each of them asks for its text beside it.

`notices.py TARGET` writes them to standard output, for the image.
"""

import pathlib
import re
import sys

import crates
from project import fail

HEAD = """\
The programs of this package are linked statically. Besides the code of this project they contain the following.

The Rust standard library: MIT OR Apache-2.0, https://github.com/rust-lang/rust

The GNU C Library: LGPL-2.1-or-later, https://sourceware.org/glibc/
The source code of this project is public, with the scripts that build it (make static), so that it can be linked
with a changed version of that library.

libgcc of the GNU Compiler Collection: GPL-3.0-or-later WITH GCC-exception-3.1, https://gcc.gnu.org/

The packages of crates.io named below, each under the text that follows its name. Where a package lets its users choose,
and MIT is among the choices, it is used under MIT.
"""

NAMES = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def files(crate):
    """The licence files of a package."""
    found = sorted(path for path in pathlib.Path(crate["directory"]).iterdir() if NAMES.match(path.name) and path.is_file())
    mit = [path for path in found if "MIT" in path.name.upper()]
    # Notices apply whichever licence is chosen.
    beside = [path for path in found if re.match(r"NOTICE|COPYRIGHT", path.name, re.IGNORECASE)]
    if mit and "MIT" in crate["license"]:
        found = mit + beside
    if not found:
        fail(f"{crate['id']} has no file with its licence")
    return found


def of(target):
    users = {}
    for crate in crates.linked(target):
        if crate["ours"]:
            continue
        text = "\n\n".join(path.read_text(errors="replace").strip() for path in files(crate))
        text = "\n".join(line.rstrip() for line in text.splitlines())
        users.setdefault(text, []).append(f"{crate['name']} {crate['version']} ({crate['license']})")
    parts = [HEAD]
    for text, names in sorted(users.items(), key=lambda item: item[1]):
        parts.append("-" * 80 + "\n" + "\n".join(names) + "\n\n" + text + "\n")
    return "\n".join(parts).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(of(sys.argv[1]))
