"""The Debian package. dpkg is not needed to write it: it is an ar archive of two tar archives."""

import email.utils
import hashlib
import textwrap

import archives

MAINTAINER = "rpm-runtime maintainers <rpm-runtime@users.noreply.github.com>"


def write(project, binary, out):
    version = project.prerelease("~", ".") + "-1"
    files = {f"usr/bin/{name}": (data, 0o755) for name, data in binary.programs.items()}
    documents = {
        "README.md.gz": archives.compressed(project.text("README.md"), project.time),
        "changelog.gz": archives.compressed(project.text("CHANGELOG.md"), project.time),
        "changelog.Debian.gz": archives.compressed(changes(project, version), project.time),
        "copyright": rights(project),
    }
    # Images leave out usr/share/doc, but for `copyright` (the path-exclude of debian:*-slim). These must be there.
    kept = {
        "THIRD-PARTY.gz": archives.compressed(binary.notices, project.time),
        "sbom.cdx.json.gz": archives.compressed(binary.sbom, project.time),
    }
    for place, papers in {"doc/": documents, "": kept}.items():
        files.update({f"usr/share/{place}{project.name}/{name}": (data, 0o644) for name, data in papers.items()})

    for path, data in binary.shared.items():
        # Debian has its pages compressed.
        page = path.startswith("man/")
        data = archives.compressed(data, project.time) if page else data
        files[f"usr/share/{path}{'.gz' if page else ''}"] = (data, 0o644)

    sums = "".join(f"{hashlib.md5(data).hexdigest()}  {path}\n" for path, (data, _) in sorted(files.items()))
    control = {"./control": (fields(project, binary, version, files), 0o644), "./md5sums": (sums.encode(), 0o644)}
    package = archives.ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", archives.tar_gz(control, project.time)),
            (
                "data.tar.gz",
                archives.tar_gz({f"./{path}": file for path, file in files.items()}, project.time, directories=True),
            ),
        ],
        project.time,
    )
    path = out / f"{project.name}_{version}_{binary.debian}.deb"
    path.write_bytes(package)
    return [path]


def fields(project, binary, version, files):
    size = sum((len(data) + 1023) // 1024 for data, _ in files.values())
    text = f"""\
        Package: {project.name}
        Version: {version}
        Architecture: {binary.debian}
        Multi-Arch: foreign
        Maintainer: {MAINTAINER}
        Installed-Size: {size}
        Section: admin
        Priority: optional
        Homepage: {project.url}
        Description: {project.summary}
         It starts N processes of a program, shares the port that the program binds
         among them, restarts what dies, and replaces them one by one without losing
         a request. It reaps, forwards signals, merges the output, and answers probes
         and scrapes. RPM_* environment variables configure it.
        """
    return textwrap.dedent(text).encode()


def changes(project, version):
    """Debian's own log of changes: the package is made anew for each version, and nothing else changes."""
    date = email.utils.formatdate(project.time)
    text = f"{project.name} ({version}) unstable; urgency=medium\n\n  * Packed from {project.version}; see changelog.gz.\n\n"
    return f"{text} -- {MAINTAINER}  {date}\n".encode()


def rights(project):
    """The licences of the project itself. Apache-2.0 is one that Debian has on every machine, and wants nowhere else."""
    text = (
        f"{project.name}, {project.url}\n\n{project.text('LICENSE').decode()}\n"
        "On Debian the Apache License, Version 2.0 is in /usr/share/common-licenses/Apache-2.0.\n"
        f"The licences of what is linked into the program are in\n/usr/share/{project.name}/THIRD-PARTY.gz.\n\n"
    )
    return text.encode() + project.text("LICENSE-MIT")
