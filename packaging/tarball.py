"""The tarball: the programs and their papers in one folder."""

import archives


def write(project, binary, out):
    folder = f"{project.name}-{project.version}-{binary.machine}-linux"
    files = {name: (data, 0o755) for name, data in binary.programs.items()}
    papers = {
        **project.licenses,
        "CHANGELOG.md": project.text("CHANGELOG.md"),
        "README.md": project.text("README.md"),
        "THIRD-PARTY": binary.notices,
        "sbom.cdx.json": binary.sbom,
    }
    papers.update({f"share/{path}": data for path, data in binary.shared.items()})
    files.update({name: (data, 0o644) for name, data in papers.items()})
    path = out / f"{folder}.tar.gz"
    content = {f"{folder}/{name}": file for name, file in files.items()}
    path.write_bytes(archives.tar_gz(content, project.time, directories=True))
    return [path]
