"""The outer face as an OpenAPI document. A test holds the gateway to it."""

from typing import Any

from delegate.settings import Settings

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_STATE = {
    "type": "object",
    "required": ["request_id", "state", "log"],
    "properties": {
        "request_id": {"type": "string"},
        "state": {"enum": ["waiting", "running"]},
        "log": {"type": "string"},
    },
}
_PROBLEMS = {
    400: "A header is malformed.",
    401: "No valid token.",
    404: "There is nothing at this address.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The command refused the request; `detail` is what it says.",
    429: "All places in the queue are taken.",
    502: "The computation crashed, or can't be run.",
    503: "No worker, no room, or the gateway is shutting down.",
    504: "The deadline passed.",
}
_RETRY = {429, 503}


def document(settings: Settings) -> dict[str, Any]:
    """Return the document of a gateway with some settings."""
    secured: list[dict[str, list[str]]] = [{"token": []}] if settings.token_file else []
    run_answers = _problems(400, 401, 408, 413, 422, 429, 502, 503, 504)
    paths = {
        "/v1/run": {
            "post": {
                "operationId": "run",
                "summary": "Compute, or say where the result stands",
                "parameters": [_TIMEOUT, _PREFER],
                "requestBody": {"content": {"application/octet-stream": _BINARY}},
                "responses": {**_answers(), "307": _MOVED, **run_answers},
            }
        },
        "/v1/results/{key}": {
            "parameters": [_path("key", "64 hexadecimal digits: SHA-256 of request and inputs")],
            "post": {
                "operationId": "result",
                "summary": "Compute the result that stands at an address",
                "parameters": [_TIMEOUT, _PREFER],
                "requestBody": {"content": {"application/octet-stream": _BINARY}},
                "responses": {**_answers(), "307": _MOVED, **run_answers, **_problems(404)},
            },
            "get": {
                "operationId": "no_result",
                "summary": "Only a cache in front knows results by their address alone",
                "responses": _problems(401, 404),
            },
        },
        "/v1/requests/{request_id}": {
            "parameters": [_path("request_id", "From the answer 202")],
            "get": {
                "operationId": "look",
                "summary": "The answer to an asynchronous request, or where it stands",
                "responses": {**_answers(), "307": _MOVED, **run_answers, **_problems(404)},
            },
            "delete": {
                "operationId": "cancel",
                "summary": "Cancel an asynchronous request, or forget its answer",
                "responses": {"204": {"description": "Done"}, **_problems(401, 404)},
            },
        },
        "/v1/requests/{request_id}/log": {
            "parameters": [_path("request_id", "From the answer 202")],
            "get": {
                "operationId": "log",
                "summary": "Follow what the command writes to standard error, as server-sent events",
                "responses": {"200": {"description": "Events", "content": {"text/event-stream": {}}}, **_problems(401, 404)},
            },
        },
        "/v1/token": {
            "get": {
                "operationId": "token",
                "summary": "Whether the token is valid: for proxies in front",
                "responses": {"204": {"description": "It is, or none is needed"}, **_problems(401)},
            }
        },
        "/healthz": {"get": _plain("healthz", "The event loop runs", security=[])},
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Metrics in Prometheus' format",
                "security": [],
                "responses": {"200": {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            }
        },
        "/readyz": {"get": _plain("readyz", "A request would be taken now", security=[], unready=True)},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "spack-farm delegate gateway", "version": "1"},
        "paths": paths,
        "security": secured,
        "components": {
            "schemas": {"Problem": _PROBLEM, "State": _STATE},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_TIMEOUT = {
    "name": "Delegate-Timeout",
    "in": "header",
    "description": "Seconds until the answer; at most the gateway's own deadline",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "respond-async: answer 202 at once, and keep the answer",
    "schema": {"type": "string"},
}
_MOVED = {
    "description": "Send the same request to Location",
    "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
}


def _path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _problems(*statuses: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    retry = {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
    return {
        str(status): {"description": _PROBLEMS[status], "content": content} | (retry if status in _RETRY else {})
        for status in statuses
    }


def _answers() -> dict[str, Any]:
    state = {"application/json": {"schema": {"$ref": "#/components/schemas/State"}}}
    return {
        "200": {"description": "The answer", "content": {"*/*": _BINARY}},
        "202": {"description": "It is computed; Location has the answer later", "content": state},
    }


def _plain(name: str, summary: str, *, security: list[Any], unready: bool = False) -> dict[str, Any]:
    schema = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    answers = {"200": {"description": summary, "content": content}}
    if unready:
        answers["503"] = {"description": "It would not", "content": content}
    return {"operationId": name, "summary": summary, "security": security, "responses": answers}
