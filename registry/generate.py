# SPDX-License-Identifier: Apache-2.0
"""generate.py header|python|docs REGISTRY: what is made from registry.txt, on standard output."""
import re
import sys

FIELDS = {
    "semconv": 1, "schema_url": 1, "scope": 1,
    "attribute": 4, "error_type": 2, "link_method": 3, "reason": 4,
}
TYPES = ("string", "int", "bool", "strings")


def fail(where, why):
    sys.exit(f"{where}: {why}")


def read(path):
    """{kind: [fields, ...]} in the order of the file; stops on anything that it does not know."""
    entries = {kind: [] for kind in FIELDS}
    seen = set()
    with open(path, encoding="ascii") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            kind, *fields = re.split(r" {2,}", line)
            if kind not in FIELDS:
                fail(where, f"unknown kind {kind!r}; known: {', '.join(FIELDS)}")
            if len(fields) != FIELDS[kind]:
                fail(where, f"{kind} takes {FIELDS[kind]} fields, separated by two or more "
                            f"spaces; this line has {len(fields)}")
            if kind == "attribute" and fields[1] not in TYPES:
                fail(where, f"unknown type {fields[1]!r}; known: {', '.join(TYPES)}")
            if kind == "attribute" and fields[2] not in ("span", "resource"):
                fail(where, f"an attribute belongs to span or resource, not {fields[2]!r}")
            if kind == "link_method" and not 0 <= int(fields[1]) <= 100:
                fail(where, "confidence is a percentage")
            key = (kind, *(fields[:3] if kind == "reason" else fields[:1]))
            if key in seen:
                fail(where, f"{' '.join(key)} is there twice")
            seen.add(key)
            entries[kind].append(fields)
    for kind in ("semconv", "schema_url", "scope"):
        if len(entries[kind]) != 1:
            fail(path, f"needs exactly one line {kind!r}")
    if not entries["schema_url"][0][0].endswith("/" + entries["semconv"][0][0]):
        fail(path, "schema_url and semconv are of different versions")
    return entries


def constant(prefix, name):
    return prefix + re.sub(r"[^A-Za-z0-9]+", "_", name.strip("_")).upper()


def c_enum(name, prefix, names, last):
    yield f"enum {name} {{"
    for n in names:
        yield f"\t{constant(prefix, n)},"
    for n in last:
        yield f"\t{n},"
    yield "};"
    yield ""


def c_strings(name, prefix, names):
    yield f"static const char *const {name}[] __attribute__((unused)) = {{"
    for n in names:
        yield f'\t[{constant(prefix, n)}] = "{n}",'
    yield "};"
    yield ""


def header(entries):
    attributes = [a[0] for a in entries["attribute"]]
    errors = [e[0] for e in entries["error_type"]]
    methods = [m[0] for m in entries["link_method"]]
    yield "/* SPDX-License-Identifier: Apache-2.0 */"
    yield "/* Made by registry/generate.py from registry/registry.txt: change that. */"
    yield "#ifndef SONDE_REGISTRY_H"
    yield "#define SONDE_REGISTRY_H"
    yield ""
    yield "#include <stdint.h>"
    yield ""
    yield f'#define SEMCONV_VERSION "{entries["semconv"][0][0]}"'
    yield f'#define SEMCONV_SCHEMA_URL "{entries["schema_url"][0][0]}"'
    yield f'#define SCOPE_NAME "{entries["scope"][0][0]}"'
    yield ""
    yield from c_enum("attribute_key", "ATTR_", attributes,
                      ["ATTR_CUSTOM /* the name is in the attribute */"])
    yield f"#define ATTRIBUTES {len(attributes)}"
    yield ""
    yield from c_strings("attribute_name", "ATTR_", attributes)
    yield "/* strlen() of each. */"
    yield "static const uint8_t attribute_name_len[] __attribute__((unused)) = {"
    for name in attributes:
        yield f"\t[{constant('ATTR_', name)}] = {len(name)},"
    yield "};"
    yield ""
    yield "/* Field `key` of an OTLP KeyValue: tag, length, name; padded to one size. */"
    yield f"#define ATTRIBUTE_KEY_BYTES {-(-(max(map(len, attributes)) + 2) // 16) * 16}"
    yield "static const uint8_t attribute_key_field[][ATTRIBUTE_KEY_BYTES] __attribute__((unused)) = {"
    for name in attributes:
        if len(name) > 127:
            fail(name, "longer than a length of one byte can say")
        yield f'\t[{constant("ATTR_", name)}] = "\\012\\{len(name):03o}{name}",'
    yield "};"
    yield ""
    yield from c_enum("error_type", "ERROR_", errors, ["ERROR_TYPES"])
    yield from c_strings("error_type_name", "ERROR_", errors)
    yield from c_enum("link_method", "LINK_", methods, ["LINK_METHODS"])
    yield from c_strings("link_method_name", "LINK_", methods)
    yield "/* Percent. */"
    yield "static const uint8_t link_method_confidence[] __attribute__((unused)) = {"
    for m in entries["link_method"]:
        yield f"\t[{constant('LINK_', m[0])}] = {m[1]},"
    yield "};"
    yield ""
    yield "/* Reasons of the account's lines: X(kind, name); the counter is kind_name. */"
    for line in sorted({r[0] for r in entries["reason"]}):
        reasons = [f"X({r[1]}, {r[2]})" for r in entries["reason"] if r[0] == line]
        yield f"#define REGISTRY_REASONS_{line.upper()}(X) \\"
        yield " \\\n".join("\t" + r for r in reasons)
        yield ""
    yield "#endif"


def python(entries):
    yield "# Made by registry/generate.py from registry/registry.txt: change that."
    yield f"SEMCONV_VERSION = {entries['semconv'][0][0]!r}"
    yield f"SCHEMA_URL = {entries['schema_url'][0][0]!r}"
    yield f"SCOPE = {entries['scope'][0][0]!r}"
    yield "ATTRIBUTES = {"
    for name, kind, where, _ in entries["attribute"]:
        yield f"    {name!r}: ({kind!r}, {where!r}),"
    yield "}"
    yield f"ERROR_TYPES = {tuple(e[0] for e in entries['error_type'])!r}"
    yield "LINK_METHODS = {"
    for name, confidence, _ in entries["link_method"]:
        yield f"    {name!r}: {int(confidence)},"
    yield "}"
    yield "REASONS = ("
    for line, kind, name, _ in entries["reason"]:
        yield f"    ({line!r}, {kind!r}, {name!r}),"
    yield ")"


def table(heads, rows):
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def docs(entries):
    yield "<!-- Made by `registry/generate.py docs registry/registry.txt`: change the registry. -->"
    yield "# Attributes and closed lists"
    yield ""
    yield (f"Semantic conventions {entries['semconv'][0][0]}, schema "
           f"<{entries['schema_url'][0][0]}>. Names that begin with `sonde.` are this program's own.")
    yield ""
    for where, title in (("span", "Spans"), ("resource", "Resources")):
        yield f"## {title}"
        yield ""
        yield from table(("attribute", "type", "meaning"),
                         ((f"`{a[0]}`", "string[]" if a[1] == "strings" else a[1], a[3])
                          for a in entries["attribute"] if a[2] == where))
    yield "## error.type, beside status codes"
    yield ""
    yield from table(("value", "meaning"), ((f"`{e[0]}`", e[1]) for e in entries["error_type"]))
    yield "## sonde.link.method"
    yield ""
    yield from table(("value", "confidence, percent", "meaning"),
                     ((f"`{m[0]}`", m[1], m[2]) for m in entries["link_method"]))
    yield "## Reasons of the account"
    yield ""
    yield from table(("line", "reason", "meaning"),
                     ((r[0], f"`{r[1]}{{{r[2]}}}`", r[3]) for r in entries["reason"]))


MODES = {"header": header, "python": python, "docs": docs}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in MODES:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    text = "\n".join(MODES[sys.argv[1]](read(sys.argv[2])))
    print(text.rstrip("\n"))
