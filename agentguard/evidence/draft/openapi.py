"""Tools from an OpenAPI file: each operation is one, with its parameters and the members of its JSON body as arguments.

A small reading: paths, operations, parameters, JSON bodies, ``$ref`` within the file. Nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.evidence.draft.described import Described, Found
from agentguard.evidence.draft.reading import read_data

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_ODD = re.compile(r"[^A-Za-z0-9]+")


def from_openapi(path: Path) -> Found:
    """The operations of an OpenAPI 3 (or Swagger 2) file. Raises ConfigurationError."""
    data = read_data(path)
    paths = data.get("paths") if isinstance(data, Mapping) else None
    if not isinstance(paths, Mapping) or not ("openapi" in data or "swagger" in data):
        raise ConfigurationError(
            f"{path}: no OpenAPI file; expected `openapi` (or `swagger`) and `paths`; {_instead(data)}"
        )
    found = Found()
    for place, item in paths.items():
        for method, operation in _operations(item, data):
            name = _name(operation, method, str(place))
            try:
                found.tools.append(_tool(name, method, str(place), item, operation, data))
            except ValueError as error:
                found.left_out.append((name, str(error)))
    if not found.tools and not found.left_out:
        raise ConfigurationError(f"{path}: describes no operation; expected `get`, `post` and the like under `paths`")
    return found


def _instead(data: Any) -> str:
    """What the file seems to be, and what to do with it."""
    inner = data.get("result", data) if isinstance(data, Mapping) else data
    listed = inner.get("tools") if isinstance(inner, Mapping) else inner
    if isinstance(listed, list) and any(isinstance(tool, Mapping) and "name" in tool for tool in listed):
        return "it lists tools: an MCP server's answer is read with --mcp-tools"
    if isinstance(data, Mapping) and ("openapi" in data or "swagger" in data):
        return "its operations are elsewhere; bundle the files into one"
    return "export it as OpenAPI 3 or Swagger 2"


def _operations(item: Any, data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    item = _resolved(item, data)
    for method in _METHODS:
        operation = item.get(method)
        if isinstance(operation, Mapping):
            yield method, operation


def _name(operation: Mapping[str, Any], method: str, place: str) -> str:
    given = operation.get("operationId")
    if isinstance(given, str) and given:
        return given
    return _ODD.sub("_", f"{method}_{place}").strip("_")


def _tool(
    name: str, method: str, place: str, item: Any, operation: Mapping[str, Any], data: Mapping[str, Any]
) -> Described:
    properties: dict[str, Json] = {}
    required: list[Json] = []
    for parameter in _parameters(_resolved(item, data), operation, data):
        if parameter.get("in") == "body":
            _body(parameter.get("schema"), parameter.get("required") is True, properties, required, data)
        elif parameter.get("in") in ("path", "query", "header", "formData"):
            called = parameter.get("name")
            if not isinstance(called, str):
                raise ValueError("one of its parameters has no name")
            properties[called] = _schema(parameter)
            if parameter.get("required") is True or parameter.get("in") == "path":
                required.append(called)
    body = _resolved(operation.get("requestBody"), data)
    content = body.get("content")
    if isinstance(content, Mapping) and content:
        kinds = [kind for kind in content if "json" in str(kind)] or list(content)
        media = content[kinds[0]]
        schema = media.get("schema") if isinstance(media, Mapping) else None
        _body(schema, body.get("required") is True, properties, required, data)
    whole: dict[str, Json] = {"type": "object", "properties": properties, "required": required}
    return Described(name, whole, data, method=method.upper(), fixed=_address(place, operation, data))


def _parameters(
    item: Mapping[str, Any], operation: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    for given in (item.get("parameters"), operation.get("parameters")):
        for parameter in given if isinstance(given, list) else ():
            yield _resolved(parameter, data)


def _schema(parameter: Mapping[str, Any]) -> Json:
    """A parameter's schema: OpenAPI 3 has it apart, Swagger 2 beside the name."""
    schema = parameter.get("schema")
    if isinstance(schema, Mapping):
        return {**schema, **({"example": parameter["example"]} if "example" in parameter else {})}
    content = parameter.get("content")
    if isinstance(content, Mapping):
        return {"type": "string"}
    return {key: value for key, value in parameter.items() if key not in ("name", "in", "required", "description")}


def _body(
    schema: Any, needed: bool, properties: dict[str, Json], required: list[Json], data: Mapping[str, Any]
) -> None:
    """The members of an object become arguments, as clients and agents pass them; any other body is `body`."""
    found = _resolved(schema, data)
    inner = found.get("properties")
    if isinstance(inner, Mapping) and not any(key in found for key in ("allOf", "anyOf", "oneOf")):
        for name, part in inner.items():
            if isinstance(part, Mapping) and part.get("readOnly") is True:
                continue
            if name in properties:
                raise ValueError("its body has a member of the name of a parameter; give one of them another name")
            properties[str(name)] = part
        listed = found.get("required")
        required += [name for name in listed if name in properties] if needed and isinstance(listed, list) else []
    elif schema is not None:
        properties["body"] = schema
        required += ["body"] if needed else []


def _resolved(node: Any, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a ``$ref`` within the file leads to; an empty object for what leads nowhere, or round."""
    for _ in range(20):
        if not isinstance(node, Mapping):
            return {}
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        if not reference.startswith("#/"):
            return {}
        target: Any = data
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        node = target
    return {}


def _address(place: str, operation: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    """Where every call of the operation goes: the server and the path up to its first parameter."""
    servers = operation.get("servers") or data.get("servers")
    url = servers[0].get("url") if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else None
    if url is None and isinstance(data.get("host"), str):
        url = f"https://{data['host']}{data.get('basePath', '')}"
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or "{" in url:
        return None
    return url.rstrip("/") + place.partition("{")[0].rstrip("/")
