"""The attributes of a node, read without trust: those that its operator has, each of its kind, and no others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import AttributeProto

from rnncore.files import FormatError

__all__ = ["named", "read_attributes"]

INT, FLOAT, STRING, TENSOR = AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING, AttributeProto.TENSOR
INTS, FLOATS, STRINGS = AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS


def named(node: onnx.NodeProto) -> str:
    """Name a node in a message: by its name, or else by its first output."""
    name = node.name or next((output for output in node.output if output), "")
    return f"node {name[:100]!r} ({node.op_type[:100]})"


def read_attributes(node: onnx.NodeProto, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's attributes; known maps their names to their kinds. Raises FormatError for any other."""
    values: dict[str, Any] = {}
    for attribute in node.attribute:
        name = attribute.name
        if name not in known or name in values:
            again = " twice" if name in values else ""
            expected = ", ".join(known) or "none"
            raise FormatError(f"{named(node)} has the attribute {name[:100]!r}{again}, expected {expected}")
        if attribute.ref_attr_name or attribute.type != known[name]:
            raise FormatError(f"{named(node)}: the attribute {name!r} is not of the kind that its operator says")
        try:
            value = onnx.helper.get_attribute_value(attribute)
            if known[name] in (STRING, STRINGS):
                value = [text.decode() for text in value] if isinstance(value, list) else value.decode()
        except UnicodeDecodeError:
            raise FormatError(f"{named(node)}: the attribute {name!r} is no text") from None
        if known[name] in (FLOAT, FLOATS) and not all(map(math.isfinite, value if known[name] == FLOATS else [value])):
            raise FormatError(f"{named(node)}: the attribute {name!r} is not finite")
        values[name] = list(value) if known[name] in (INTS, FLOATS, STRINGS) else value
    return values
