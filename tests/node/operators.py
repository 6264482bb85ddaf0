"""Write the list of all operators of the standard, for docs/ops.md.

usage: operators.py > tests/expected/operators.txt

A line is `DOMAIN NAME VERSIONS [deprecated]`; VERSIONS are the opsets in which the operator changed, oldest first.
"""

from collections import defaultdict

from onnx import defs

versions = defaultdict(dict)
for schema in defs.get_all_schemas_with_history():
    key = (schema.domain or "ai.onnx", schema.name)
    versions[key][schema.since_version] = schema.deprecated

for (domain, name), changes in sorted(versions.items()):
    numbers = ",".join(map(str, sorted(changes)))
    print(domain, name, numbers, *(["deprecated"] if changes[max(changes)] else []))
