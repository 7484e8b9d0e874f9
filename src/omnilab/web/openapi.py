"""The API document (OpenAPI 3.1), generated from the operations and their msgspec types.

Promises that what is routed and not hidden is described, and nothing else: names, limits and required fields come
from the very types that requests are read into. Values of answers are open, so they appear as examples, never as
enums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from omnilab.codes import CODES
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation
from omnilab.web.problems import API_STATUS, OAUTH_STATUS, OAuthError, Problem, bearer_challenge

Json = dict[str, Any]

_GATE_CODES = (
    "token_missing",
    "token_malformed",
    "token_expired",
    "token_revoked",
    "audience_mismatch",
    "tenant_mismatch",
    "client_disabled",
    "tenant_suspended",
    "address_not_allowed",
    "quota_exceeded",
)
_GRANT_CODES = ("endpoint_not_enabled", "token_predates_grant")
_PARAMETER_CODES = ("request_malformed", "parameter_unknown", "parameter_invalid")
_BODY_CODES = ("body_too_large", "media_type_unsupported")
_REF = "#/components/schemas/{name}"
_EXAMPLE_ID = "019b0a4e-6f00-7abc-8def-0123456789ab"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiInfo:
    """What the document says of the deployment. URLs are without trailing slash."""

    version: str
    public_url: str
    docs_url: str
    tenant_domain: str | None = None


def openapi_operation(operations: Iterable[Operation], info: ApiInfo) -> Operation:
    """`GET /openapi.json`, with the document made once."""
    body = msgspec.json.encode(openapi_document(operations, info))

    async def openapi(exchange: Exchange) -> None:
        await exchange.answer(200, body, headers=[(b"cache-control", b"public, max-age=300")])

    return Operation(
        method="GET",
        path="/openapi.json",
        operation_id="openapi",
        handler=openapi,
        summary="This document",
        hidden=True,
    )


def openapi_document(operations: Iterable[Operation], info: ApiInfo) -> Json:
    """The document as plain JSON values."""
    shown = [operation for operation in operations if not operation.hidden]
    schemas = _schemas(shown)
    by_id = {operation.operation_id: operation for operation in shown}
    paths: dict[str, Json] = {}
    for operation in shown:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, info, by_id)
    for operation in shown:  # a query's Struct is spelt out as parameters
        if operation.parameters is not None:
            schemas.pop(operation.parameters.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "OmniLab API",
            "version": info.version,
            "summary": "Tokens for backends, and the APIs they open.",
            "description": "Every answer carries `X-Request-Id`. Values of answers are open: new ones may be added.",
        },
        "servers": _servers(info),
        "externalDocs": {"url": f"{info.docs_url}/errors/", "description": "Error codes"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": _security_schemes(shown, info),
            "headers": _HEADERS,
        },
    }


def _schemas(shown: Sequence[Operation]) -> dict[str, Json]:
    types: list[Any] = [Problem, OAuthError]
    for operation in shown:
        types += [kind for kind in (operation.parameters, operation.body) if kind is not None]
        types += [kind for kind in operation.answers.values() if isinstance(kind, type)]
    _, components = msgspec.json.schema_components(
        list(dict.fromkeys(types)), schema_hook=_custom_schema, ref_template=_REF
    )
    for operation in shown:
        if operation.body is not None and operation.error_format == "problem":
            # OAuth alone ignores what it does not know.
            components[operation.body.__name__]["additionalProperties"] = False
    return components


def _custom_schema(kind: type) -> Json:
    """A value type of one's own brings its schema as `JSON_SCHEMA`, or its field has `Meta(extra_json_schema=…)`."""
    schema: Json | None = getattr(kind, "JSON_SCHEMA", None)
    if schema is None:
        raise NotImplementedError  # msgspec then looks at the field, and raises TypeError where that has none
    return schema


def _operation(operation: Operation, schemas: dict[str, Json], info: ApiInfo, by_id: dict[str, Operation]) -> Json:
    found: Json = {"operationId": operation.operation_id, "summary": operation.summary}
    if operation.description:
        found["description"] = operation.description
    if operation.tag:
        found["tags"] = [operation.tag]
    parameters = _parameters(operation, schemas)
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        content = {kind: {"schema": _ref(operation.body)} for kind in operation.body_media_types}
        found["requestBody"] = {"required": True, "content": content}
    found["security"] = _security(operation)
    found["responses"] = {**_answers(operation, by_id), **_refusals(operation, info)}
    return found


def _parameters(operation: Operation, schemas: dict[str, Json]) -> list[Json]:
    parameters: list[Json] = []
    if operation.parameters is not None:
        struct = schemas[operation.parameters.__name__]
        required = struct.get("required", [])
        for name, schema in struct["properties"].items():
            plain = _not_null(schema)
            words = {"description": plain.pop("description")} if "description" in plain else {}
            parameters.append({"name": name, "in": "query", "required": name in required, "schema": plain, **words})
    if operation.idempotent_by_key:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        text = "Repeats of the same request with the same key get the first answer, for 24 hours."
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": schema, "description": text})
    return parameters


def _not_null(schema: Json) -> Json:
    """A query has no null: what is optional is left out."""
    schema = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    if "enum" in schema.get("items", {}):
        schema["items"] = {"type": "string", **schema["items"]}  # what a query holds is text; viewers want it said
    variants = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(variants) == 1:
        schema = {**{name: value for name, value in schema.items() if name != "anyOf"}, **variants[0]}
    return schema


def _answers(operation: Operation, by_id: dict[str, Operation]) -> dict[str, Json]:
    answers: dict[str, Json] = {}
    for status, kind in operation.answers.items():
        answer: Json = {"description": operation.summary, "headers": {"X-Request-Id": _header("X-Request-Id")}}
        if kind is not None:
            schema = _ref(kind) if isinstance(kind, type) else kind
            answer["content"] = {"application/json": {"schema": schema}}
        if operation.leads_to:
            answer["links"] = {name: _link(by_id[name], fields) for name, fields in operation.leads_to.items()}
        answers[str(status)] = answer
    return answers


def _link(target: Operation, fields: tuple[str, ...]) -> Json:
    """What a client does next, with what of this answer."""
    values = {name: f"$response.body#/{name}" for name in fields}
    return {"operationId": target.operation_id, "requestBody" if target.body else "parameters": values}


def _refusals(operation: Operation, info: ApiInfo) -> dict[str, Json]:
    oauth = operation.error_format == "oauth"
    by_status: dict[int, list[str]] = {}
    for code in _codes_of(operation):
        status = OAUTH_STATUS[code][0] if oauth else API_STATUS[code]
        by_status.setdefault(status, []).append(code)
    answers = {str(status): _refusal(codes, status, oauth, info) for status, codes in sorted(by_status.items())}
    answers["default"] = {
        "description": "Any other refusal",
        "headers": {"X-Request-Id": _header("X-Request-Id")},
        "content": {_refusal_type(oauth): {"schema": _ref(OAuthError if oauth else Problem)}},
    }
    return answers


def _codes_of(operation: Operation) -> list[str]:
    """The codes a caller may meet, those of the gate and of the readers by themselves."""
    codes: list[str] = []
    if operation.protected:
        codes += _GATE_CODES
    if operation.endpoint is not None:
        codes += _GRANT_CODES
    if operation.error_format == "problem":
        if operation.parameters is not None or operation.body is not None or operation.protected:
            codes += _PARAMETER_CODES
        if operation.body is not None:
            codes += _BODY_CODES
    return list(dict.fromkeys([*codes, *operation.refusals, "temporarily_unavailable"]))


def _refusal(codes: list[str], status: int, oauth: bool, info: ApiInfo) -> Json:
    headers = {"X-Request-Id": _header("X-Request-Id")}
    if status in (429, 503) or any(CODES[code].retry for code in codes):
        headers["Retry-After"] = _header("Retry-After")
    if status in (401, 403):
        headers["WWW-Authenticate"] = _header("WWW-Authenticate")
    examples = {code: {"summary": CODES[code].title, "value": _example(code, status, oauth, info)} for code in codes}
    return {
        "description": "; ".join(CODES[code].title for code in codes),
        "headers": headers,
        "content": {_refusal_type(oauth): {"schema": _ref(OAuthError if oauth else Problem), "examples": examples}},
    }


def _example(code: str, status: int, oauth: bool, info: ApiInfo) -> Json:
    url = f"{info.docs_url}/errors/{code}"
    if oauth:
        error = OAUTH_STATUS[code][1]
        return {
            "error": error,
            "error_description": CODES[code].title,
            "error_uri": url,
            "request_id": _EXAMPLE_ID,
        }
    return {
        "type": url,
        "title": CODES[code].title,
        "status": status,
        "detail": CODES[code].title,
        "code": code,
        "request_id": _EXAMPLE_ID,
    }


def _refusal_type(oauth: bool) -> str:
    return "application/json" if oauth else "application/problem+json"


def _security(operation: Operation) -> list[Json]:
    if operation.protected:
        scopes = [operation.endpoint] if operation.endpoint else []
        return [{"client_credentials": scopes}, {"access_token": []}]
    # RFC 6749 §2.3.1: the client's credentials come in the body or as Basic.
    return [{}, {"client_basic": []}] if operation.error_format == "oauth" else []


def _security_schemes(shown: Sequence[Operation], info: ApiInfo) -> Json:
    scopes = {each.endpoint: each.summary for each in shown if each.endpoint is not None}
    return {
        "client_credentials": {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": f"{info.public_url}/v1/oauth:token", "scopes": scopes}},
        },
        "access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "client_basic": {"type": "http", "scheme": "basic", "description": "Client id and client secret."},
    }


def _servers(info: ApiInfo) -> list[Json]:
    servers: list[Json] = [{"url": info.public_url}]
    if info.tenant_domain:
        servers.insert(
            0,
            {
                "url": f"https://{{tenant}}.api.{info.tenant_domain}",
                "variables": {"tenant": {"default": "acme", "description": "The tenant's key"}},
            },
        )
    return servers


def _ref(kind: type) -> Json:
    return {"$ref": _REF.format(name=kind.__name__)}


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


_HEADERS: Json = {
    "X-Request-Id": {
        "description": "The id of this request, in logs and audit too. Give it when you ask for help.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {
        "description": "What the call expects (RFC 6750, RFC 7617).",
        "schema": {"type": "string", "examples": [bearer_challenge("token_expired", 401).decode()]},
    },
}
