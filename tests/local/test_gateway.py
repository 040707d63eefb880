"""API Gateway's treatment of a request, held against the local gateway."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, JsonValue

from local.processes.environments import tool
from local.services.issuer import AUDIENCE, KEY_ID, Issuer
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.conftest import Api

ORIGIN = "https://app.example.com"


class Echo(BaseModel):
    """The probe's answer: the event and the environment that it was given."""

    event: dict[str, JsonValue]
    pid: int
    environment: dict[str, str]


def echo(response: httpx.Response) -> Echo:
    assert response.status_code == 200, response.text
    return Echo.model_validate_json(response.content)


def context(response: httpx.Response) -> dict[str, JsonValue]:
    value = echo(response).event["requestContext"]
    assert isinstance(value, dict)
    return value


def claims(response: httpx.Response) -> JsonValue:
    match context(response)["authorizer"]:
        case {"jwt": {"claims": value}}:
            return value
        case other:
            pytest.fail(f"no claims in {other}")


def test_a_good_token_gets_in(api: Api) -> None:
    with api.client() as client:
        assert client.get("/things").status_code == 200


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer "])
def test_the_word_bearer_is_optional(api: Api, prefix: str) -> None:
    headers = {"authorization": prefix + api.issuer.token("alice")}
    assert httpx.get(f"{api.url}/things", headers=headers, verify=False).status_code == 200


def test_no_token_is_401(api: Api) -> None:
    response = httpx.get(f"{api.url}/things", verify=False)
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("wrong", "description"),
    [
        ({"iss": "https://elsewhere.example.com"}, "the token is another issuer's"),
        ({"aud": "somebody-else"}, "the token is made out for another audience"),
        ({"aud": ["one", "two"]}, "the token is made out for another audience"),
        ({"exp": 1}, "the token has expired"),
        ({"nbf": 4_000_000_000}, "the token is not valid yet"),
        ({"exp": None}, "the token lacks a claim"),
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_401(api: Api, wrong: dict[str, JsonValue], description: str) -> None:
    with api.client(api.issuer.token("alice", **wrong)) as client:
        response = client.get("/things")
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
    assert f'error="invalid_token" error_description="{description}"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("right", [{"aud": ["one", AUDIENCE]}, {"aud": "another"}], ids=str)
def test_any_of_the_audiences_will_do(api: Api, right: dict[str, JsonValue]) -> None:
    with api.client(api.issuer.token("alice", **right)) as client:
        assert client.get("/things").status_code == 200


def forged(api: Api, how: str, directory: Path) -> str:
    genuine = api.issuer.token("alice")
    payload = jwt.decode(genuine, options={"verify_signature": False})
    match how:
        case "another key":
            return Issuer(directory, api.issuer.url).token("alice")
        case "no signature":
            return jwt.encode(payload, "", algorithm="none", headers={"kid": KEY_ID})
        case "a shared secret":
            return jwt.encode(payload, "s" * 32, algorithm="HS256", headers={"kid": KEY_ID})
        case "unknown" | "€" | "a\r\nset-cookie: b" | 'a", error="':
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return jwt.encode(payload, key, algorithm="RS256", headers={"kid": how})
        case "a changed payload":
            head, body, signature = genuine.split(".")
            changed = (
                base64.urlsafe_b64encode(json.dumps(payload | {"sub": "bob"}).encode()).decode().rstrip("=")
            )
            assert changed != body
            return f"{head}.{changed}.{signature}"
        case _:
            return "nonsense"


@pytest.mark.parametrize(
    ("how", "description"),
    [
        ("another key", "the signature is not valid"),
        ("no signature", "the token is not valid"),
        ("a shared secret", "the token is not valid"),
        *(
            (key_id, "the token is signed with an unknown key")
            for key_id in ("unknown", "€", "a\r\nset-cookie: b", 'a", error="')
        ),
        ("a changed payload", "the signature is not valid"),
        ("nonsense", "the token is not valid"),
    ],
)
def test_a_forged_token_is_401(api: Api, how: str, description: str, tmp_path: Path) -> None:
    with api.client(forged(api, how, tmp_path)) as client:
        response = client.get("/things")
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
    reason = f'Bearer scope="" error="invalid_token" error_description="{description}"'
    assert response.headers["www-authenticate"] == reason
    assert "set-cookie" not in response.headers


def test_a_route_without_authorizer_is_open(api: Api) -> None:
    assert "authorizer" not in context(httpx.post(f"{api.url}/open", verify=False))


@pytest.mark.parametrize(("scope", "status"), [(None, 403), ("things:write", 403), ("a things:read", 200)])
def test_a_route_with_a_scope_wants_it(api: Api, scope: str | None, status: int) -> None:
    with api.client(api.issuer.token("alice", scope=scope)) as client:
        response = client.get("/scoped")
    assert response.status_code == status
    if status == 403:
        assert response.json() == {"message": "Forbidden"}
    else:
        assert context(response)["authorizer"] == {
            "jwt": {"claims": claims(response), "scopes": ["things:read"]}
        }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/thing"),
        ("GET", "/things/1/2"),
        ("DELETE", "/things"),
        ("GET", "/things/"),
        ("OPTIONS", "/things"),
    ],
)
def test_what_no_route_matches_is_404(api: Api, method: str, path: str) -> None:
    with api.client() as client:
        response = client.request(method, path)
    assert (response.status_code, response.json()) == (404, {"message": "Not Found"})


def test_a_preflight_is_answered_without_a_token(api: Api) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    response = httpx.options(f"{api.url}/things", headers=headers, verify=False)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-methods"] == "GET,POST"
    assert response.headers["access-control-allow-headers"] == "authorization"
    assert response.headers["access-control-max-age"] == "600"


def test_another_origin_gets_no_leave(api: Api) -> None:
    headers = {"origin": "https://evil.example.com", "access-control-request-method": "POST"}
    response = httpx.options(f"{api.url}/things", headers=headers, verify=False)
    assert response.status_code == 204
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_answers_and_refusals_carry_the_cors_headers_of_the_template_only(api: Api) -> None:
    own = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "https://evil.example.com"}}
    with api.client() as client:
        answered = client.post("/things?do=answer", json=own, headers={"origin": ORIGIN})
    refused = httpx.get(f"{api.url}/things", headers={"origin": ORIGIN}, verify=False)
    assert refused.status_code == 401
    for response in (answered, refused):
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["access-control-expose-headers"] == "location"


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "text/plain"])
def test_a_body_of_text_is_passed_as_it_is(api: Api, media_type: str) -> None:
    with api.client() as client:
        event = echo(client.post("/things", content='{"ä": 1}', headers={"content-type": media_type})).event
    assert (event["body"], event["isBase64Encoded"]) == ('{"ä": 1}', False)


@pytest.mark.parametrize("media_type", ["application/webhook+json", "application/octet-stream"])
def test_a_body_that_is_not_known_as_text_is_in_base64(api: Api, media_type: str) -> None:
    with api.client() as client:
        event = echo(client.post("/things", content="ä", headers={"content-type": media_type})).event
    assert (event["body"], event["isBase64Encoded"]) == ("w6Q=", True)


def test_a_request_without_a_body_has_none(api: Api) -> None:
    with api.client() as client:
        event = echo(client.get("/things")).event
    assert "body" not in event
    assert event["isBase64Encoded"] is False


def test_what_is_given_twice_is_joined(api: Api) -> None:
    headers = [("x-thing", "1"), ("x-thing", "2"), ("cookie", "a=1; b=2"), ("cookie", "c=3")]
    with api.client() as client:
        event = echo(client.get("/things?q=1&q=2&empty=", headers=headers)).event
    assert event["queryStringParameters"] == {"q": "1,2", "empty": ""}
    assert event["rawQueryString"] == "q=1&q=2&empty="
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    given = event["headers"]
    assert isinstance(given, dict)
    assert given["x-thing"] == "1,2"
    assert "cookie" not in given


def test_a_path_parameter_is_decoded(api: Api) -> None:
    with api.client() as client:
        event = echo(client.get("/things/a%20b")).event
    assert event["pathParameters"] == {"id": "a b"}
    assert event["routeKey"] == "GET /things/{id}"


def test_claims_reach_the_function_as_texts(api: Api) -> None:
    token = api.issuer.token(
        "alice", level=3, admin=True, rooms=["a", "b"], nested={"b": 1, "a": ["x"]}, none=None
    )
    with api.client(token) as client:
        given = claims(client.get("/things"))
    assert isinstance(given, dict)
    assert given["sub"] == "alice"
    assert str(given["exp"]).isdecimal()
    assert {name: given[name] for name in ("level", "admin", "rooms", "nested")} == {
        "level": "3",
        "admin": "true",
        "rooms": "[a b]",
        "nested": '{"b":1,"a":["x"]}',
    }
    assert "none" not in given


def test_a_function_can_build_its_own_address(api: Api) -> None:
    with api.client() as client:
        event = echo(client.get("/things")).event
    headers, request = event["headers"], event["requestContext"]
    assert isinstance(headers, dict)
    assert isinstance(request, dict)
    assert f"{headers['x-forwarded-proto']}://{request['domainName']}" == api.url


def shape(value: JsonValue) -> JsonValue:
    """The names and types of a value, whose own dictionaries of names are left out."""
    match value:
        case dict():
            own = {"headers", "queryStringParameters", "pathParameters", "claims"}
            return {name: "own" if name in own else shape(item) for name, item in value.items()}
        case list():
            return [shape(item) for item in value[:1]]
        case _:
            return type(value).__name__


def test_an_event_has_the_shape_that_sam_generates(api: Api) -> None:
    generated: dict[str, JsonValue] = json.loads(
        subprocess.run(
            [tool("sam"), "local", "generate-event", "apigateway", "http-api-proxy"],
            env={"SAM_CLI_TELEMETRY": "0", "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
            check=True,
            capture_output=True,
        ).stdout
    )
    # The API has neither stage variables nor mutual TLS; scopes are null where a route wants none.
    del generated["stageVariables"]
    request = generated["requestContext"]
    assert isinstance(request, dict)
    del request["authentication"]
    with api.client(api.issuer.token("alice", scope="things:read")) as client:
        made = echo(client.get("/scoped?q=1", headers={"cookie": "a=1"})).event
        with_path = echo(client.get("/things/1")).event
        with_body = echo(client.post("/things", content=b"x")).event
    complete = {**made, "pathParameters": with_path["pathParameters"], "body": with_body["body"]}
    assert shape(complete) == shape(generated)


@pytest.mark.parametrize(
    ("returned", "status", "body", "media_type"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"made", "text/plain;charset=UTF-8"),
        ({"statusCode": 204}, 204, b"", "text/plain;charset=UTF-8"),
        (
            {
                "statusCode": 200,
                "headers": {"Content-Type": "image/png"},
                "body": "AAE=",
                "isBase64Encoded": True,
            },
            200,
            b"\0\1",
            "image/png",
        ),
        ({"any": "object"}, 200, b'{"any": "object"}', "application/json"),
        ("text", 200, b'"text"', "application/json"),
    ],
    ids=str,
)
def test_what_a_function_returns_becomes_the_response(
    api: Api, returned: JsonValue, status: int, body: bytes, media_type: str
) -> None:
    with api.client() as client:
        response = client.post("/things?do=answer", json=returned)
    assert (response.status_code, response.content, response.headers["content-type"]) == (
        status,
        body,
        media_type,
    )


def test_headers_and_cookies_of_a_function_are_passed_on(api: Api) -> None:
    returned = {"statusCode": 200, "headers": {"Location": "/x", "retry-after": 3}, "cookies": ["a=1", "b=2"]}
    with api.client() as client:
        response = client.post("/things?do=answer", json=returned)
    assert (response.headers["location"], response.headers["retry-after"]) == ("/x", "3")
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "many"},
        {"statusCode": 20},
        {"statusCode": 200, "body": {"an": "object"}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
    ],
    ids=str,
)
def test_an_answer_that_is_no_response_is_500(api: Api, returned: JsonValue) -> None:
    with api.client() as client:
        response = client.post("/things?do=answer", json=returned)
    assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize(("path"), ["/things?do=crash", "/things?do=exit", "/hasty?do=hang"])
def test_a_failing_function_is_500_and_works_again_afterwards(api: Api, path: str) -> None:
    with api.client() as client:
        response = client.get(path)
        assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})
        assert client.get(path.partition("?")[0]).status_code == 200


def test_the_gateway_gives_up_first_and_the_function_goes_on(api: Api, tmp_path: Path) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    with api.client() as client:
        response = client.get("/impatient", params={"do": "outlive", "gate": str(gate), "done": str(done)})
    assert (response.status_code, response.json()) == (503, {"message": "Service Unavailable"})
    assert not done.exists()
    gate.touch()
    eventually(done.exists)


def test_a_body_above_ten_megabytes_is_413(api: Api) -> None:
    with api.client() as client:
        response = client.post("/things", content=bytes(10 * 1024 * 1024 + 1))
    assert (response.status_code, response.json()) == (413, {"message": "Request Entity Too Large"})


def test_a_caller_who_leaves_while_asking_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(api.url)
    head = f"POST /things HTTP/1.1\r\nhost: api\r\nauthorization: {api.issuer.token('alice')}\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"{head}content-length: 100\r\n\r\nhalf of it".encode())
    with api.client() as client:
        assert client.get("/things").status_code == 200
    assert "Exception" not in caplog.text


def test_concurrent_requests_have_an_environment_each(api: Api, tmp_path: Path) -> None:
    with api.client() as client, ThreadPoolExecutor() as pool:
        responses = pool.map(
            lambda _: client.get("/things", params={"do": "meet", "place": str(tmp_path), "guests": "3"}),
            range(3),
        )
        assert len({echo(response).pid for response in responses}) == 3


def test_an_idle_environment_is_used_again(api: Api) -> None:
    with api.client() as client:
        assert echo(client.get("/things")).pid == echo(client.get("/things")).pid


def test_a_crashed_environment_is_replaced(api: Api) -> None:
    with api.client() as client:
        before = echo(client.get("/things")).pid
        client.get("/things?do=exit")
        assert echo(client.get("/things")).pid != before


def test_a_function_sees_the_template_and_lambda_and_nothing_else(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_SHELL", "must not be seen")
    with api.client() as client:
        client.get("/things?do=exit")
        seen = echo(client.get("/things")).environment
    assert (seen["GREETING"], seen["BUCKET"], seen["OVERRIDE"]) == ("hello, eu-west-1", "a-bucket", "yes")
    assert (seen["AWS_REGION"], seen["AWS_ACCESS_KEY_ID"]) == ("eu-west-1", "the-key")
    by_lambda = {
        *(
            "_HANDLER",
            "TZ",
            "LANG",
            "LC_CTYPE",
            "PATH",
            "PYTHONPATH",
            "PYTHONDONTWRITEBYTECODE",
            "LAMBDA_TASK_ROOT",
        ),
        *(name for name in seen if name.startswith("AWS_")),
    }
    assert seen.keys() - by_lambda == {"GREETING", "BUCKET", "OVERRIDE"}


def test_an_invocation_without_http_is_answered_as_it_is(api: Api) -> None:
    event: JsonValue = {"queryStringParameters": {"do": "answer"}, "body": '{"any": ["thing"]}'}
    assert api.invoke("Probe", event) == {"any": ["thing"]}
