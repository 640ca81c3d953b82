"""Writing a YAML from its commented reference: the comments stay, named values are filled in."""

import json
import re
from collections.abc import Mapping

Value = str | int | float | bool | None | list[str]


def fill(text: str, values: Mapping[str, Value]) -> str:
    """Return a YAML text in which named keys have other values.

    Args:
        text: of a YAML with at most two levels, whose values to fill stand on the key's own line.
        values: by key, `port` or `aggregator.port`. JSON's texts, numbers and lists are YAML's.

    Raises:
        KeyError: if a key is not in the text exactly once; then nothing is right.
    """
    lines = text.splitlines()
    left = dict(values)
    section = ""
    for index, line in enumerate(lines):
        match = re.match(r"( {2})?([a-z_]+):( +(?P<value>.*?))?(?P<comment> +#.*)?$", line)
        if match is None:
            continue
        indent, key = match.group(1) or "", match.group(2)
        section = section if indent else key
        path = f"{section}.{key}" if indent else key
        if path in left:
            if match.group("value") is None:
                raise KeyError(path)
            written = json.dumps(left.pop(path), ensure_ascii=False)
            lines[index] = f"{indent}{key}: {written}{match.group('comment') or ''}"
    if left:
        raise KeyError(", ".join(left))
    return "\n".join(lines) + "\n"
