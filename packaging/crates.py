"""The packages of Cargo.lock that are linked into a binary."""

import functools
import json
import re

from project import ROOT, cargo


@functools.lru_cache
def linked(target):
    """Each of them: a dict with name, version, license, checksum, directory, authors and the ids it depends on."""
    # cargo tree knows which features a release build has, and leaves out procedural macros and build scripts.
    tree = cargo(
        "tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--no-dedupe",
        "--format", "{p}",
    )
    wanted = set()
    for line in tree.splitlines():
        if line.strip():
            name, version = line.split()[:2]
            wanted.add((name, version.lstrip("v")))

    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    known = {package["id"]: package for package in metadata["packages"]}
    chosen = {key for key, package in known.items() if (package["name"], package["version"]) in wanted}
    sums = checksums()
    found = []
    for node in metadata["resolve"]["nodes"]:
        if node["id"] not in chosen:
            continue
        package = known[node["id"]]
        name, version = package["name"], package["version"]
        needs = sorted(
            f"{known[dep['pkg']]['name']}@{known[dep['pkg']]['version']}"
            for dep in node["deps"]
            if dep["pkg"] in chosen and any(kind["kind"] is None for kind in dep["dep_kinds"])
        )
        found.append(
            {
                "id": f"{name}@{version}",
                "name": name,
                "version": version,
                # Old packages write a slash for `OR`.
                "license": re.sub(r"\s*/\s*", " OR ", package["license"] or ""),
                "directory": package["manifest_path"].rsplit("/", 1)[0],
                "repository": package["repository"],
                "checksum": sums.get((name, version)),
                "needs": needs,
                "ours": package["source"] is None,
            }
        )
    return sorted(found, key=lambda crate: crate["id"])


def checksums():
    """The SHA-256 of each package as crates.io has it."""
    text = (ROOT / "Cargo.lock").read_text()
    entry = re.compile(r'name = "([^"]+)"\nversion = "([^"]+)"\n(?:source = "[^"]+"\n)?(?:checksum = "([0-9a-f]+)")?')
    return {(name, version): checksum for name, version, checksum in entry.findall(text) if checksum}
