"""The npm packages: one for each platform with the binary, and the one that people install, which names them as optional.

Nothing is downloaded and nothing runs at the installation: npm chooses the package of the platform by `os` and `cpu`.
"""

import json

import archives
from project import MACHINES


def platform_package(project, node):
    return f"@{project.name}/linux-{node}"


def common(project, name, summary):
    return {
        "name": name,
        "version": project.version,
        "description": summary,
        "license": project.license,
        "homepage": f"{project.url}#readme",
        "bugs": f"{project.url}/issues",
        "repository": {"type": "git", "url": f"git+{project.url}.git"},
    }


def write(project, binary, out):
    """The package of one platform."""
    manifest = {
        **common(project, platform_package(project, binary.node), f"The program {project.name} for linux {binary.node}"),
        "os": ["linux"],
        "cpu": [binary.node],
        # For package managers that keep archives: a program in an archive cannot be executed.
        "preferUnplugged": True,
    }
    readme = f"# {manifest['name']}\n\n{manifest['description']}. Install `{project.name}`, which chooses this package.\n"
    files = {f"bin/{name}": (data, 0o755) for name, data in binary.programs.items()}
    files["README.md"] = (readme.encode(), 0o644)
    files["THIRD-PARTY"] = (binary.notices, 0o644)
    files["sbom.cdx.json"] = (binary.sbom, 0o644)
    path = out / f"{project.name}-linux-{binary.node}-{project.version}.tgz"
    return [packed(project, manifest, files, path)]


def write_main(project, out):
    """The package that people install. Its commands are links to the launcher, under the name of each program."""
    packages = [platform_package(project, node) for *_, node in MACHINES.values()]
    manifest = {
        **common(project, project.name, project.summary),
        "keywords": project.keywords,
        "bin": {name: f"bin/{name}" for name in project.programs},
        "files": ["bin"],
        # No `os`: `npm ci` would refuse the whole project on the macOS of a developer (EBADPLATFORM). The packages of the
        # platforms have it: npm leaves out an optional package that does not fit.
        "optionalDependencies": {name: project.version for name in sorted(packages)},
    }
    launcher = project.text("packaging/npm/launcher")
    files = {f"bin/{name}": (launcher, 0o755) for name in project.programs}
    files["README.md"] = (project.text("packaging/npm/README.md"), 0o644)
    path = out / f"{project.name}-{project.version}.tgz"
    return [packed(project, manifest, files, path)]


def packed(project, manifest, files, path):
    files["package.json"] = (json.dumps(manifest, indent=2).encode() + b"\n", 0o644)
    files.update({name: (data, 0o644) for name, data in project.licenses.items()})
    path.write_bytes(archives.tar_gz({f"package/{name}": file for name, file in files.items()}, project.time))
    return path
