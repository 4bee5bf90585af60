"""The bill of materials, in CycloneDX 1.6: what the binary is linked from, and what depends on what."""

import datetime
import hashlib
import json
import subprocess
import uuid

import crates
from project import run

#: The names by which the formats of packages know their place for it.
SUFFIX = ".cdx.json"


def of(project, binary):
    found = crates.linked(binary.target)
    ours = next(crate for crate in found if crate["ours"])
    ours_ref = reference(ours["id"])
    libraries = system_libraries(binary)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in binary.programs.items()}
    others = [crate for crate in found if not crate["ours"]]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same content has the same number.
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([project.url, project.time, hashes])).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(project.time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ours_ref,
                "name": project.name,
                "version": project.version,
                "description": project.summary,
                "licenses": [{"expression": project.license}],
                "externalReferences": [{"type": "vcs", "url": project.url}],
                "components": [
                    {
                        "type": "file",
                        "bom-ref": f"file:{name}",
                        "name": name,
                        "hashes": [{"alg": "SHA-256", "content": content}],
                    }
                    for name, content in hashes.items()
                ],
                "properties": [{"name": "target", "value": binary.target}],
            },
        },
        "components": [component(crate) for crate in others] + libraries,
        "dependencies": [
            {
                "ref": ours_ref,
                "dependsOn": sorted([*map(reference, ours["needs"]), *(library["bom-ref"] for library in libraries)]),
            },
            *({"ref": reference(crate["id"]), "dependsOn": sorted(map(reference, crate["needs"]))} for crate in others),
            *({"ref": library["bom-ref"]} for library in libraries),
        ],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def reference(key):
    return f"pkg:cargo/{key}"


def component(crate):
    made = {
        "type": "library",
        "bom-ref": reference(crate["id"]),
        "name": crate["name"],
        "version": crate["version"],
        "scope": "required",
        "licenses": [{"expression": crate["license"]}],
        "purl": reference(crate["id"]),
    }
    if crate["checksum"]:
        made["hashes"] = [{"alg": "SHA-256", "content": crate["checksum"]}]
    if crate["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": crate["repository"]}]
    return made


def system_libraries(binary):
    """What the linker adds to every static program. A version stands there only if it is known to be that of the binary."""
    made = []
    for name, license_, version in (
        ("rust-std", "MIT OR Apache-2.0", rust_version(binary)),
        ("glibc", "LGPL-2.1-or-later", glibc_version(binary)),
        ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1", None),
    ):
        library = {
            "type": "library",
            "bom-ref": f"system:{name}",
            "name": name,
            "scope": "required",
            "licenses": [{"expression": license_}],
        }
        if version:
            library["version"] = version
        made.append(library)
    return made


def rust_version(binary):
    """The release of this rustc, if the paths in the binary name its commit."""
    said = dict(line.split(": ", 1) for line in run("rustc", "-vV").splitlines() if ": " in line)
    commit = said.get("commit-hash", "unknown").encode()
    if commit != b"unknown" and any(b"/rustc/" + commit in data for data in binary.programs.values()):
        return said["release"]
    return None


def glibc_version(binary):
    """The version of this machine's library, for a binary that is made for this machine."""
    if not binary.native:
        return None
    try:
        return run("getconf", "GNU_LIBC_VERSION").split()[1]
    except (OSError, subprocess.CalledProcessError):
        return None
