#!/usr/bin/env python3
"""Writes what the chart says about its values, from what is said elsewhere: `make reference` calls it.

- `runtime` in values.schema.json and templates/_settings.tpl, from docs/configuration.md: one value for each RPM_* variable;
- README.md, from README.tmpl.md, the comments of values.yaml and docs/configuration.md.

With --check it writes nothing, says what is stale, and ends with 1. The rest of values.schema.json is written by hand; that it
names the same values as values.yaml is checked here too.
"""

import json
import re
import sys
from pathlib import Path

try:
    import yaml
except ImportError:
    sys.exit("charts/reference.py: PyYAML is missing; scripts/test-deps installs it, `make reference` finds it")

HERE = Path(__file__).resolve().parent
CHART = HERE / "rpm-runtime"
VARIABLE = re.compile(r"^### `(RPM_\w+)`\n\n- Default: (.*)\n- Accepted: (.*)\n\n(.*)", re.MULTILINE)
# The chart calculates with these, so their text must be known when it is rendered.
CALCULATED = {
    "RPM_ADMIN_ADDR", "RPM_APP_METRICS", "RPM_DRAIN_TIMEOUT", "RPM_EXEC_MODE", "RPM_INSTANCES", "RPM_PORTS", "RPM_READY_TIMEOUT",
    "RPM_RESTART", "RPM_SHUTDOWN_DELAY", "RPM_STOP_TIMEOUT", "RPM_TERMINATION_LOG", "RPM_WATCH",
}


def variables():
    text = (HERE.parent / "docs/configuration.md").read_text()
    found = VARIABLE.findall(text)
    assert len(found) == text.count("\n### `RPM_") > 50, f"{len(found)} variables in docs/configuration.md"
    return [(name, default, accepted.replace("\\", ""), doc) for name, default, accepted, doc in found]


def kind(accepted):
    """The schema of a value, from the sentence that tells what is accepted."""
    if accepted == "true, false, 1, 0":
        return {"type": "boolean"}
    if re.fullmatch(r"[a-z0-9-]+(, [a-z0-9-]+)+", accepted):
        return words(accepted.split(", "))
    if accepted == "whole numbers from 0 to 255, separated by commas":
        code = {"type": "integer", "minimum": 0, "maximum": 255}
        text = {"type": "string", "pattern": r"^[0-9]+(,[0-9]+)*$"}
        return {"anyOf": [code, {"type": "array", "items": code, "minItems": 1}, text]}
    if accepted.startswith("a whole number with a unit"):
        return measured(accepted)
    if range_ := re.match(r"a whole number from (\d+) to (\d+)(.*)", accepted):
        low, high, rest = range_.groups()
        return counted(int(low), int(high), rest)
    choices = [{"type": "string", "minLength": 1}]
    if re.search(r"number, such|LINES|of PORT", accepted):
        choices.append({"type": "integer", "minimum": 1})
    if any(mark in accepted for mark in ["separated by commas", "a list of"]):
        choices.append({"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1})
    # `off` without quotes is false for YAML.
    if re.search(r"\boff\b", accepted):
        choices.append({"const": False})
    return {"anyOf": choices} if len(choices) > 1 else choices[0]


def words(known):
    # `on` and `off` without quotes are true and false for YAML.
    booleans = [value for word, value in (("on", True), ("off", False)) if word in known]
    return {"enum": known + booleans}


def measured(accepted):
    """A duration or a size; the unit of the examples tells which."""
    duration = "500ms" in accepted or " 5s " in accepted
    units = "ms|s|m|h" if duration else "K|M|G|T|Ki|Mi|Gi|Ti"
    forms = [rf"[0-9]+({units})"]
    choices = []
    zero = accepted.endswith("or 0") or ("from 1ms" not in accepted and duration)
    if zero:
        choices.append({"const": 0})
        forms.append("0")
    if "percentage" in accepted:
        forms.append("[0-9]+%")
    if accepted.endswith("or off"):
        choices.append({"const": False})
        forms.append("off")
    text = {"type": "string", "pattern": f"^({'|'.join(forms)})$"}
    return {"anyOf": [*choices, text]} if choices else text


def counted(low, high, rest):
    number = {"type": "integer", "minimum": low, "maximum": high}
    forms = []
    if "max-K" in rest:
        forms.append("max(-[0-9]+)?")
    if "percentage" in rest:
        forms.append("[0-9]+%")
    if rest.startswith(", or all"):
        forms.append("all")
    assert forms or not rest or rest.startswith(";"), rest
    return {"anyOf": [number, {"type": "string", "pattern": f"^({'|'.join(forms)})$"}]} if forms else number


def runtime_schema(found):
    properties = {}
    for name, _, accepted, doc in found:
        properties[name] = {"description": first_sentence(doc), **nullable(kind(accepted))}
    names = [name.removeprefix("RPM_") for name, *_ in found if name not in CALCULATED | {"RPM_LOG_OWN"}]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        # NAME_FILE: the path of a file with the value.
        "patternProperties": {f"^RPM_({'|'.join(names)})_FILE$": {"type": ["string", "null"], "minLength": 1}},
    }


def nullable(schema):
    """null takes a default of the chart away."""
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return {"anyOf": [*schema["anyOf"], {"type": "null"}]}


def first_sentence(doc):
    end = re.search(r"[.:](\s|$)", doc)
    text = doc[: end.start()] if end else doc
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text) + "."


def settings(found):
    booleans = [name for name, _, accepted, _ in found if kind(accepted) == {"type": "boolean"}]
    return f"""{{{{/* Written by charts/reference.py: the variables that take true and false; in the others, false is off. */}}}}
{{{{- define "rpm-runtime.booleans" -}}}}
{",".join(booleans)}
{{{{- end }}}}
"""


def comments(text):
    """The path of each value of values.yaml that has a comment `# --`, and that comment."""
    path, told, said = [], {}, []
    for line in text.splitlines():
        if comment := re.match(r"\s*# (-- )?(.*)", line):
            if comment[1]:
                said = []
            if comment[1] or said:
                said.append(comment[2])
            continue
        if key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if said:
                told[".".join(path)] = " ".join(said)
        said = []
    return told


def values_table(values, told):
    rows = []

    def walk(value, path):
        name = ".".join(path)
        if name in told:
            shown = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
            rows.append(f"| `{name}` | `{shown}` | {told[name]} |")
        # A comment tells of all that is below; `enabled` tells of its group.
        elif isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, [*path, key])
        else:
            sys.exit(f"charts/reference.py: {name} has no comment in values.yaml")

    for key, value in values.items():
        walk(value, [key])
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])


def variables_table(found):
    rows = []
    for name, default, accepted, _ in found:
        link = f"[`runtime.{name}`](../../docs/configuration.md#{name.lower()})"
        accepted = accepted.replace("|", "\\|").replace("*", "\\*").replace("[", "\\[").replace("]", "\\]")
        rows.append(f"| {link} | {default} | {accepted} |")
    return "\n".join(["| value | default of the runtime | accepted |", "|---|---|---|", *rows])


def compare(values, schema, path=""):
    """The keys of values.yaml are those of the schema, down to where the schema lets any key in."""
    if "properties" not in schema or schema.get("additionalProperties") is not False or path == ".runtime":
        return []
    faults = [f"values.schema.json lacks {path}.{key}" for key in values.keys() - schema["properties"].keys()]
    faults += [f"values.yaml lacks {path}.{key}" for key in schema["properties"].keys() - values.keys()]
    for key in values.keys() & schema["properties"].keys():
        if isinstance(values[key], dict) and values[key]:
            faults += compare(values[key], schema["properties"][key], f"{path}.{key}")
    return faults


def main():
    found = variables()
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"]["runtime"] = runtime_schema(found)
    faults = compare(values, schema)
    readme = (HERE / "README.tmpl.md").read_text()
    readme = readme.replace("@VALUES@", values_table(values, comments(text))).replace("@VARIABLES@", variables_table(found))
    written = {
        "values.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        "templates/_settings.tpl": settings(found),
        "README.md": readme,
    }
    for name, text in written.items():
        place = CHART / name
        if place.exists() and place.read_text() == text:
            continue
        if "--check" in sys.argv:
            faults.append(f"charts/rpm-runtime/{name} is stale: make reference")
        else:
            place.write_text(text)
    sys.exit("\n".join(faults) or None)


main()
