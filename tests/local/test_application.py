"""The parts of a template that the local stack takes over, and those that it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.processes.children import LocalStackError
from local.template.application import Application, load

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "one,two"}


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
    changed(template, "!GetAtt Probe.Arn", "!Ref Probe.Alias")
    assert {route.function for route in loaded(template).routes} == {"Probe", "Hasty"}


def reschedule(template: Path, expression: str, enabled: str = "true") -> Path:
    event = f"        Every: {{Type: Schedule, Properties: {{Schedule: {expression}, Enabled: {enabled}}}}}\n"
    return changed(template, "      Timeout: 1\n", f"      Timeout: 1\n      Events:\n{event}")


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


@pytest.mark.parametrize(
    ("written", "instead", "named"),
    [
        ("AuthorizerType: JWT", "AuthorizerType: REQUEST", "AuthorizerType"),
        ("[$request.header.Authorization]", "[$request.querystring.token]", "IdentitySource"),
        ("AuthorizationType: JWT", "AuthorizationType: AWS_IAM", "AuthorizationType"),
        ('PayloadFormatVersion: "2.0"', 'PayloadFormatVersion: "1.0"', "PayloadFormatVersion"),
        ('      PayloadFormatVersion: "2.0"\n', "", "PayloadFormatVersion"),
        ("IntegrationType: AWS_PROXY", "IntegrationType: HTTP_PROXY", "IntegrationType"),
        ("ProtocolType: HTTP", "ProtocolType: WEBSOCKET", "ProtocolType"),
        ("ProtocolType: HTTP", "ProtocolType: HTTP\n      Body: {paths: {}}", "Body"),
        ("AutoDeploy: true", "AutoDeploy: false", "AutoDeploy"),
        ("StageName: $default", "StageName: v1", "StageName"),
        ("AuthorizerId: !Ref Jwt", "AuthorizerId: other", "without the authorizer"),
        ("integrations/${ProbeIntegration}", "integrations/other", "does not define"),
        ("Principal: apigateway.amazonaws.com", "Principal: events.amazonaws.com", "may not invoke"),
        (":${Api}/*", ":${Api}/*/GET/elsewhere", "may not invoke"),
        ("FunctionName: !GetAtt Hasty.Arn", "FunctionName: !GetAtt Probe.Arn", "may not invoke"),
    ],
)
def test_what_api_gateway_would_do_otherwise_is_refused(
    template: Path, written: str, instead: str, named: str
) -> None:
    assert named in refusal(changed(template, written, instead))


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
