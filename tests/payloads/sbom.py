"""Validates a CycloneDX document: `sbom.py FILE`. Needs cyclonedx-python-lib[json-validation] (scripts/test-deps)."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

text = open(sys.argv[1], encoding="utf-8").read()
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if fault:
    sys.exit(str(fault))

# What the schema does not say: every name of the licence list is known, and every reference leads somewhere.
document = json.loads(text)
known = get_spdx_licensing()
subject = document["metadata"]["component"]
for component in [subject, *document["components"]]:
    for entry in component["licenses"]:
        faults = known.validate(entry["expression"]).errors
        if faults:
            sys.exit(f"{component['name']}: {faults}")
references = {component["bom-ref"] for component in [subject, *document["components"]]}
for dependency in document["dependencies"]:
    for reference in [dependency["ref"], *dependency.get("dependsOn", [])]:
        if reference not in references:
            sys.exit(f"{reference} is not there")
if len(references) != len(document["dependencies"]):
    sys.exit("a component has no entry in `dependencies`")
