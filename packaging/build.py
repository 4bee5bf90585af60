#!/usr/bin/env python3
"""Packs the static binary: a Debian package, a wheel, npm packages, a tarball, an SBOM and their checksums.

Needs only Python's standard library, cargo and git, on any machine. The same binary and the same commit give the same
bytes. Everything is written from what Cargo.toml says, the version too.
"""

import argparse
import hashlib
import pathlib
import sys

import deb
import npm
import sbom
import tarball
import wheel
from project import Binary, Project

KINDS = {"deb": deb.write, "wheel": wheel.write, "npm": npm.write, "tarball": tarball.write}


def main():
    parser = argparse.ArgumentParser(prog="scripts/packages", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", default="target/packages", help="directory of the packages; the default is %(default)s")
    parser.add_argument("--only", action="append", choices=KINDS, help="this kind alone; may be repeated")
    parser.add_argument(
        "binaries",
        nargs="*",
        default=["target/static"],
        help="a directory with the static programs of one platform; the default is target/static",
    )
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)

    project = Project()
    written = []
    for directory in arguments.binaries:
        binary = Binary(project, pathlib.Path(directory))
        binary.sbom = sbom.of(project, binary)
        for kind, write in KINDS.items():
            if not arguments.only or kind in arguments.only:
                written += write(project, binary, out)
        path = out / f"{project.name}-{project.version}-{binary.machine}-linux.cdx.json"
        path.write_bytes(binary.sbom)
        written.append(path)
    if not arguments.only or "npm" in arguments.only:
        written += npm.write_main(project, out)

    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(written))
    (out / "SHA256SUMS").write_text(sums)
    sys.stdout.write(sums)


if __name__ == "__main__":
    main()
