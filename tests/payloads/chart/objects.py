"""Reads manifests from stdin and writes them to stdout as one JSON list. With versions of Kubernetes as arguments (`newest` is
one too), each object of Kubernetes itself is first held against their schemas; what is wrong goes to stderr, exit code 1."""

import json
import sys

import yaml

objects = [each for each in yaml.safe_load_all(sys.stdin) if each]

if versions := sys.argv[1:]:
    import kubernetes_validate as kubernetes

    faults = []
    seen = 0
    for version in versions:
        version = kubernetes.latest_version() if version == "newest" else version
        for each in objects:
            # Custom resources have schemas of their own: custom.mjs.
            if each["apiVersion"].startswith(("monitoring.coreos.com/", "gateway.networking.k8s.io/")):
                continue
            seen += 1
            try:
                # strict: a field that this version does not know is a fault.
                kubernetes.validate(each, version, strict=True)
            except Exception as error:
                said = getattr(error, "message", str(error))
                faults.append(f"{version}: {each['kind']}: {'.'.join(map(str, getattr(error, 'path', [])))}: {said}")
    if not seen:
        faults.append("no object was looked at")
    if faults:
        sys.exit("\n".join(faults))

json.dump(objects, sys.stdout)
