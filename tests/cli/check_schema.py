"""Holds a document against its JSON Schema, and sees that the schema is strict.

Usage: check_schema.py SCHEMA DOCUMENT. Prints what is wrong, a line each; nothing if all is right.
A document that lacks any one of its fields, or has it by another name, must be refused.
"""
import json
import sys

from jsonschema import Draft202012Validator

OPTIONAL = {"training"}  # info's, with --train

with open(sys.argv[1]) as file:
    schema = json.load(file)
with open(sys.argv[2]) as file:
    document = json.load(file)
Draft202012Validator.check_schema(schema)
if schema["$schema"] != Draft202012Validator.META_SCHEMA["$id"]:
    print("not of draft 2020-12")
validator = Draft202012Validator(schema)


def leaves(error):
    return [leaf for part in error.context for leaf in leaves(part)] or [error]


for error in validator.iter_errors(document):
    for leaf in leaves(error):
        print("/".join(map(str, leaf.absolute_path)) + ": " + leaf.message[:200])
for key in document:
    lacking = {k: v for k, v in document.items() if k != key}
    if key not in OPTIONAL and validator.is_valid(lacking):
        print(f"a document without {key} is taken")
    if validator.is_valid({**lacking, key + "_renamed": document[key]}):
        print(f"a document with {key} renamed is taken")
options = {**document["options"], "no-such-option": 1}
if validator.is_valid({**document, "options": options}):
    print("an option that is none is taken")
