"""Makes generated/openapi.json of the contract, its checks, its comments and protos/http.yaml; run by
`make proto`, after gen_protos.py."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor

from server.rpc.registry import SERVICES
from server.rpc.validation import EXTERNAL_ID, REQUEST_ID
from server.web import schemas
from server.web.http_rules import RULES, Rule

TARGET = Path(__file__).resolve().parent.parent / "generated" / "openapi.json"
Json = dict[str, Any]

ABOUT = """Every method of the gRPC contract, over HTTP. A call needs an API key; with `X-External-Id` it is
confined to that owner. Errors are problems (RFC 9457) with gRPC's code and a reason. Fields that a call does
not know are refused."""
# By status: what it means, whichever call it is.
PROBLEMS = {
    400: "The request is wrong, or its state does not allow the call; `fields` says which fields.",
    401: "No API key, or one that does not work.",
    403: "The key has no right to this call, or this belongs to another owner.",
    404: "There is nothing like it in the project.",
    405: "The path does not have this verb.",
    406: "Accept does not allow JSON.",
    408: "The request did not arrive within ten seconds.",
    409: "Another owner has it, the name is taken, or somebody was faster.",
    412: "The etag of If-Match is no longer the current one.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "The key has made more calls than it may; call less often.",
    431: "The request's line and headers have more than 64 KB.",
    500: "A defect; the server's log has it under X-Request-Id.",
    503: "Too busy, or the database is away; try again.",
}


def main() -> None:
    """Writes the document."""
    TARGET.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")


def document() -> Json:
    """The whole OpenAPI document."""
    paths: dict[str, Json] = {}
    for rule in RULES:
        # The same place has one name, whatever the methods call it.
        paths.setdefault(rule.path.replace(".", "_"), {})[rule.verb.lower()] = _operation(rule)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hitchpost", "version": "v1", "description": _joined(ABOUT)},
        "servers": [{"url": "."}],
        "tags": [_tag(service) for service in SERVICES],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "headers": HEADERS,
            "responses": {f"Problem{status}": _problem_response(status) for status in PROBLEMS},
            "schemas": {"Problem": PROBLEM, **_answers()},
        },
    }


def _tag(service: ServiceDescriptor) -> Json:
    return {"name": service.name, "description": _said(service.full_name)}


def _operation(rule: Rule) -> Json:
    method = rule.rpc.descriptor
    first, _, rest = _said(method.full_name).partition("\n\n")
    statuses = [status for status in PROBLEMS if status != 412 or rule.etag]
    operation = {
        "operationId": method.name,
        "tags": [method.containing_service.name],
        "summary": first.partition(". ")[0].rstrip("."),
        "description": f"{first}\n\n{rest}".strip(),
        "parameters": list(_parameters(rule)),
        "responses": {"200": _success(rule)}
        | {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses},
    }
    if rule.body_type:
        schema = _request(rule, rule.body_type)
        required = bool(schema.get("required"))
        operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return operation


# What requests have: schemas of their own, with the checks' bounds.


def _request(rule: Rule, body: Descriptor) -> Json:
    bounds = schemas.bounds(rule.rpc)
    if rule.body != "*":
        bounds = bounds["properties"].get(rule.body, {})
    left_out = {variable.rpartition(".")[2] for variable in rule.variables}
    return schemas.sent(body, bounds, left_out)


def _parameters(rule: Rule) -> Iterator[Json]:
    bounds = schemas.bounds(rule.rpc)
    for variable in rule.variables:
        yield _parameter(
            "path", variable, _field(rule, variable), _bounds_of(bounds, variable), required=True
        )
    for name, field in rule.query.items():
        required = name in bounds.get("required", ())
        yield _parameter("query", name, field, bounds["properties"].get(name, {}), required=required)
    yield _header("X-External-Id", "Confines the call to this owner.", EXTERNAL_ID.schema)
    if rule.takes_request_id:
        yield _header("Idempotency-Key", "The same as request_id.", REQUEST_ID.schema)
    if rule.etag:
        pattern = {"pattern": r'^(\*|"[0-9]{1,20}")$'}
        yield _header("If-Match", "The etag of what is changed, in quotes, or *.", pattern)


def _parameter(place: str, name: str, field: FieldDescriptor, bounds: Json, *, required: bool) -> Json:
    schema = schemas.sent_value(field, bounds, required=required)
    return {
        "name": name.replace(".", "_"),
        "in": place,
        "required": required,
        "description": _said(field.full_name),
        "schema": schema,
    }


def _header(name: str, description: str, bounds: Mapping[str, Any]) -> Json:
    schema = {"type": "string", **schemas.short(bounds)}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _field(rule: Rule, path: str) -> FieldDescriptor:
    message = rule.rpc.descriptor.input_type
    *parents, name = path.split(".")
    for parent in parents:
        message = message.fields_by_name[parent].message_type
    return message.fields_by_name[name]


def _bounds_of(bounds: Json, path: str) -> Json:
    for name in path.split("."):
        bounds = bounds["properties"].get(name, {})
    return bounds


# What answers have: each message once, with all its fields, but for those that may be absent.


def _success(rule: Rule) -> Json:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if "etag" in rule.answer_type.fields_by_name:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    schema = {"$ref": f"#/components/schemas/{rule.answer_type.name}"}
    response: Json = {"description": "Done.", "headers": headers}
    response["content"] = {"application/json": {"schema": schema}}
    return {**response, "links": dict(_links(rule))} if rule.verb == "POST" else response


def _links(rule: Rule) -> Iterator[tuple[str, Json]]:
    """What can be done with the account or post that comes back."""
    words = re.findall("[A-Z][a-z]+", rule.answer_type.name)
    name = "_".join([*(word.lower() for word in words), "id"])
    for other in RULES:
        if other is not rule and [path.replace(".", "_") for path in other.variables] == [name]:
            operation = other.rpc.descriptor.name
            yield operation, {"operationId": operation, "parameters": {name: "$response.body#/id"}}


def _answers() -> dict[str, Json]:
    found: dict[str, Json] = {}
    waiting: list[Descriptor | EnumDescriptor] = [rule.answer_type for rule in RULES]
    while waiting:
        one = waiting.pop()
        if one.name in found or one.full_name in schemas.WELL_KNOWN:
            continue
        if isinstance(one, EnumDescriptor):
            found[one.name] = _enum(one)
            continue
        found[one.name] = _answer(one)
        for field in one.fields:
            inner = field.message_type or field.enum_type
            if inner and not schemas.is_map(field):
                waiting.append(inner)
    return dict(sorted(found.items()))


def _answer(message: Descriptor) -> Json:
    properties = {field.name: _returned(field) for field in message.fields}
    always = [field.name for field in message.fields if not field.has_presence]
    return {
        "type": "object",
        "description": _said(message.full_name),
        "properties": properties,
        **({"required": always} if always else {}),
    }


def _returned(field: FieldDescriptor) -> Json:
    schema = _returned_once(field)
    if schemas.is_map(field):
        schema = {"type": "object", "additionalProperties": {"type": "string"}}
    elif field.is_repeated:
        schema = {"type": "array", "items": schema}
    return {**schema, "description": _said(field.full_name)}


def _returned_once(field: FieldDescriptor) -> Json:
    inner = field.message_type or field.enum_type
    if inner and inner.full_name not in schemas.WELL_KNOWN:
        return {"$ref": f"#/components/schemas/{inner.name}"}
    return schemas.value(field)


def _enum(enum: EnumDescriptor) -> Json:
    values = "\n".join(
        f"- `{value.name}`: {_said(f'{enum.full_name}.{value.name}')}" for value in enum.values
    )
    names = [value.name for value in enum.values]
    return {"type": "string", "enum": names, "description": f"{_said(enum.full_name)}\n\n{values}"}


# What goes for all calls.

TEXT: Json = {"type": "string"}
HEADERS: Json = {
    "X-Request-Id": {"description": "The call's name in the server's log.", "schema": TEXT},
    "ETag": {"description": "The etag, in quotes, for If-Match.", "schema": TEXT},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
    "Allow": {"description": "The verbs that there are.", "schema": TEXT},
    "WWW-Authenticate": {"description": "Bearer.", "schema": TEXT},
}
HEADERS_OF = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
VIOLATION: Json = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "description": "Its path in the request: `media[0].url`."},
        "description": {"type": "string", "description": "What would be right."},
    },
    "required": ["field", "description"],
}
PROBLEM: Json = {
    "type": "object",
    "description": "Why a call failed (RFC 9457). What HTTP itself refuses has no more than a status.",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For a person: what happened, and what to do."},
        "code": {"type": "string", "description": "gRPC's name of the kind of failure."},
        "reason": {"type": "string", "description": "The name of an ErrorReason of the contract."},
        "metadata": {"type": "object", "additionalProperties": TEXT},
        "fields": {"type": "array", "items": VIOLATION},
    },
    "required": ["type", "title", "status"],
}


def _problem_response(status: int) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS_OF.get(status, ())}
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    response: Json = {"description": PROBLEMS[status], **({"headers": headers} if headers else {})}
    # The parser of HTTP, which ends such a request, writes no body.
    return response if status == 408 else {**response, "content": content}


def _said(full_name: str) -> str:
    return schemas.COMMENTS.get(full_name, "")


def _joined(text: str) -> str:
    """The lines of each paragraph in one."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


if __name__ == "__main__":
    main()
