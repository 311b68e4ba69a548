"""Keeps generated pages current: reads the fields' texts from a module's source, writes only the pages that changed."""

import ast
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def field_texts(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return the string after each field on one line, by class and field."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for field, after in zip(node.body, node.body[1:], strict=False):
                match field, after:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[node.name][name] = " ".join(text.split())
                    case _:
                        pass
    return found


def in_json(text: str) -> str:
    """Return a docstring on one line, with JSON's word for None."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


def with_head(document: dict[str, Any], *, schema_id: str, title: str) -> dict[str, Any]:
    """Return a JSON Schema whose first keys say what it is."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema_id, "title": title} | document


def main(files: Mapping[Path, str], arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` print which are out of date; return 1 if one is."""
    check = list(arguments) == ["--check"]
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if check:
            print(f"scripts/docs: {path} is out of date; run scripts/docs", file=sys.stderr)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], "utf-8")
        print(f"scripts/docs: wrote {path}")
    return int(check and bool(stale))
