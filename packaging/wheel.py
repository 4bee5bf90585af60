"""The wheel: the binary as a script of the environment.

It is written here and not by maturin, which would compile the program once more. So the wheel holds the same binary,
byte for byte, as the other packages, and the one that the tests ran.
"""

import base64
import hashlib

import archives

GENERATOR = "rpm-runtime packaging"


def write(project, binary, out):
    version = project.prerelease("", "")
    name = project.name.replace("-", "_")
    about = f"{name}-{version}.dist-info"
    # A static program needs no C library, so it runs on musl too. pip knows manylinux2014 from version 19.3 on, and
    # musllinux from 21.2 on; one tag that it knows is enough.
    tags = [f"manylinux2014_{binary.machine}", f"musllinux_1_1_{binary.machine}"]
    files = {f"{name}-{version}.data/scripts/{program}": (data, 0o755) for program, data in binary.programs.items()}
    # pip copies `data` into the root of the environment. It has no place of Debian's for zsh.
    for path, data in binary.shared.items():
        path = path.replace("zsh/vendor-completions", "zsh/site-functions")
        files[f"{name}-{version}.data/data/share/{path}"] = (data, 0o644)
    licenses = {**project.licenses, "THIRD-PARTY": binary.notices}
    for file, data in licenses.items():
        files[f"{about}/licenses/{file}"] = (data, 0o644)
    files[f"{about}/sboms/{project.name}.cdx.json"] = (binary.sbom, 0o644)
    files[f"{about}/METADATA"] = (metadata(project, version, licenses), 0o644)
    files[f"{about}/WHEEL"] = (described(tags), 0o644)
    record = f"{about}/RECORD"
    lines = [f"{path},sha256={digest(data)},{len(data)}\n" for path, (data, _) in files.items()]
    files[record] = ("".join([*lines, f"{record},,\n"]).encode(), 0o644)

    path = out / f"{name}-{version}-py3-none-{'.'.join(tags)}.whl"
    path.write_bytes(archives.zipped(files, project.time))
    return [path]


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def described(tags):
    lines = ["Wheel-Version: 1.0", f"Generator: {GENERATOR}", "Root-Is-Purelib: false"]
    return "\n".join([*lines, *(f"Tag: py3-none-{tag}" for tag in tags), ""]).encode()


def metadata(project, version, licenses):
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project.name}",
        f"Version: {version}",
        f"Summary: {project.summary}",
        f"License-Expression: {project.license}",
        *(f"License-File: {name}" for name in licenses),
        f"Keywords: {','.join(project.keywords)}",
        f"Project-URL: Source, {project.url}",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Environment :: No Input/Output (Daemon)",
        "Requires-Python: >=3.7",
        "Description-Content-Type: text/markdown",
        "",
    ]
    return "\n".join(lines).encode() + b"\n" + project.text("packaging/wheel/README.md")
