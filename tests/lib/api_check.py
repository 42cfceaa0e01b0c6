# SPDX-License-Identifier: Apache-2.0
"""Asks every path of an OpenAPI document, and holds the answers against it: api_check.py FILE URL TRACEID.

Each path is asked as its examples say, which has to be answered with its first status; then, where it documents
others, with an id that is none or nowhere and with a parameter that is wrong. Members that are not documented
are faults too, where the document lists some.
"""
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import yaml

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
faults = []


def resolve(document, node):
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def compare(document, schema, value, where):
    schema = resolve(document, schema)
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        faults.append(f"{where}: {value!r:.60} is no {kind}")
        return
    if "enum" in schema and value not in schema["enum"]:
        faults.append(f"{where}: {value!r} is none of {schema['enum']}")
    if kind == "object" and "properties" in schema:
        for name in set(schema.get("required", [])) - set(value):
            faults.append(f"{where}: {name} is missing")
        for name in set(value) - set(schema["properties"]):
            faults.append(f"{where}: {name} is not documented")
        for name, inner in schema["properties"].items():
            if name in value:
                compare(document, inner, value[name], f"{where}.{name}")
    if kind == "array":
        for inner in value:
            compare(document, schema.get("items", {}), inner, f"{where}[]")


def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get_content_type(), answer.read()


def check(document, base, path, operation, query, expected):
    status, kind, body = ask(f"{base}{path}?{urllib.parse.urlencode(query)}")
    where = f"{path} {query}: {status}"
    if str(status) not in operation["responses"] or (expected and str(status) != expected):
        faults.append(f"{where}: expected {expected or 'a documented status'}: {body[:200]}")
        return
    content = resolve(document, operation["responses"][str(status)])["content"]
    if kind not in content:
        faults.append(f"{where}: {kind} is not among {list(content)}")
    elif kind == "application/json":
        compare(document, content[kind]["schema"], json.loads(body), where)


def main():
    with open(sys.argv[1]) as f:
        document = yaml.safe_load(f)
    base, trace = sys.argv[2], sys.argv[3]
    for path, item in document["paths"].items():
        operation = item["get"]
        parameters = [resolve(document, p) for p in operation.get("parameters", [])]
        examples = {p["name"]: p["example"] for p in parameters if "example" in p and p["in"] == "query"}
        places = {p["name"]: p.get("example", trace) for p in parameters if p["in"] == "path"}
        check(document, base, path.format(**places), operation, examples, next(iter(operation["responses"])))
        if "404" in operation["responses"] and places:
            check(document, base, path.format(**{n: "0" * 31 + "1" for n in places}), operation, {}, "404")
        if "400" in operation["responses"] and "id" in places:
            check(document, base, path.format(id="x" * 32), operation, {}, "400")
        for p in parameters:
            if p["name"] in ("limit", "start_unix_nano", "minDuration", "min_duration_nano", "start"):
                check(document, base, path.format(**places), operation, examples | {p["name"]: "wrong"}, "400")
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
