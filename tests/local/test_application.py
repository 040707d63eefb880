"""What of a template the local stack takes over, and what it refuses to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.processes.children import LocalStackError
from local.template.application import Application, load

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "one,two"}
AUTHORIZER = "            JwtConfiguration: {issuer: !Ref JwtIssuer, audience: !Ref JwtAudience}\n"


def loaded(template: Path, parameters: dict[str, str] | None = None) -> Application:
    return load(
        template,
        PARAMETERS if parameters is None else parameters,
        {"Bucket": "a-bucket"},
        region="eu-west-1",
        overrides={},
    )


@pytest.fixture
def template(built: Path, tmp_path: Path) -> Path:
    """A template of one's own to change."""
    copy = tmp_path / "template.yaml"
    copy.write_text(built.read_text())
    return copy


def changed(template: Path, old: str, new: str) -> Path:
    text = template.read_text()
    assert old in text
    template.write_text(text.replace(old, new))
    return template


def refusal(template: Path, parameters: dict[str, str] | None = None) -> str:
    with pytest.raises(LocalStackError) as error:
        loaded(template, parameters)
    return str(error.value)


def test_routes_know_their_function_authorizer_scopes_and_time_out(template: Path) -> None:
    routes = {f"{route.method} {route.path}": route for route in loaded(template).routes}
    assert routes["POST /open"].authorizer is None
    scoped = routes["GET /scoped"]
    assert scoped.authorizer is not None
    assert scoped.authorizer.jwt.audience == ("one", "two")
    assert (scoped.function, scoped.scopes, scoped.timeout) == ("Probe", ("things:read",), 30)
    assert routes["GET /impatient"].timeout == 0.2
    assert routes["GET /hasty"].function == "Hasty"


def test_functions_know_their_code_layers_and_settings(template: Path) -> None:
    function = loaded(template, PARAMETERS | {"Greeting": "good morning"}).functions["Hasty"]
    assert function.directory == template.parent / "Probe"
    assert function.layers == (template.parent / "Shared",)
    assert (function.timeout, function.memory) == (1, 128)
    assert function.environment == {"GREETING": "good morning, eu-west-1", "BUCKET": "a-bucket"}


def test_an_alias_leads_to_its_function(template: Path) -> None:
    changed(template, "      Timeout: 10\n", "      Timeout: 10\n      AutoPublishAlias: live\n")
    assert {route.function for route in loaded(template).routes} == {"Probe", "Hasty"}


def reschedule(template: Path, expression: str, enabled: str = "true") -> Path:
    event = f"        Every: {{Type: Schedule, Properties: {{Schedule: {expression}, Enabled: {enabled}}}}}\n"
    return changed(template, "      Timeout: 1\n      Events:\n", f"      Timeout: 1\n      Events:\n{event}")


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(2 hours)", 7200), ("rate(1 day)", 86400)]
)
def test_rates_become_seconds(template: Path, expression: str, seconds: int) -> None:
    (schedule,) = loaded(reschedule(template, expression)).schedules
    assert (schedule.function, schedule.seconds) == ("Hasty", seconds)


def test_a_schedule_that_is_off_does_not_run(template: Path) -> None:
    assert loaded(reschedule(template, "rate(1 minute)", "false")).schedules == ()


def test_another_schedule_is_refused(template: Path) -> None:
    assert "cron(0 12 * * ? *)" in refusal(reschedule(template, "cron(0 12 * * ? *)"))


def test_a_lambda_authorizer_is_refused(template: Path) -> None:
    changed(template, "            IdentitySource: $request.header.Authorization\n", "")
    changed(
        template,
        AUTHORIZER,
        "            FunctionArn: !GetAtt Probe.Arn\n            AuthorizerPayloadFormatVersion: '2.0'\n",
    )
    assert "securitySchemes.Jwt.x-amazon-apigateway-authorizer.type" in refusal(template)


def test_a_token_from_elsewhere_than_the_header_is_refused(template: Path) -> None:
    changed(template, "$request.header.Authorization", "$request.querystring.token")
    assert "identitySource" in refusal(template)


def test_iam_authorization_is_refused(template: Path) -> None:
    changed(template, "Authorizer: NONE", "Authorizer: AWS_IAM")
    changed(
        template,
        "        DefaultAuthorizer: Jwt\n",
        "        DefaultAuthorizer: Jwt\n        EnableIamAuthorizer: true\n",
    )
    assert "AWS_IAM" in refusal(template)


def test_the_older_payload_format_is_refused(template: Path) -> None:
    changed(template, "Path: /open,", "Path: /open, PayloadFormatVersion: '1.0',")
    assert "payloadFormatVersion" in refusal(template)


def test_a_setting_without_a_local_value_is_refused(template: Path) -> None:
    changed(template, "BUCKET: !Ref Bucket", "BUCKET: !GetAtt Bucket.Arn")
    assert "Bucket.Arn" in refusal(template)


def test_a_parameter_without_a_value_is_refused(template: Path) -> None:
    assert "JwtAudience" in refusal(template, {"JwtIssuer": "https://issuer.example.com"})


def test_an_unknown_parameter_is_refused(template: Path) -> None:
    assert "Greetings" in refusal(template, PARAMETERS | {"Greetings": "hello"})


def test_an_invalid_template_is_refused(template: Path) -> None:
    changed(template, "CodeUri: Probe\n      Timeout: 10", "Timeout: 10")
    assert "not a valid SAM template" in refusal(template)
