from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from local.functions.emulator import Emulator, Lambda
from local.gateway.http_api import Gateway
from local.processes.children import LOOPBACK, Processes
from local.processes.environments import environment
from local.processes.server import Server
from local.services.issuer import AUDIENCE, Issuer
from local.template.application import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import JsonValue

REGION = "eu-west-1"

# Files are all that its processes have in common, so one that waits for another looks again and again.
PROBE = """
import json, os, pathlib, signal, time

def lambda_handler(event, context):
    query = event.get("queryStringParameters") or {}
    match query.get("do"):
        case "crash":
            raise ValueError("this must not get out")
        case "exit":
            os._exit(3)
        case "hang":
            signal.pause()
        case "meet":
            place = pathlib.Path(query["place"])
            (place / str(os.getpid())).touch()
            while len(list(place.iterdir())) < int(query["guests"]):
                time.sleep(0.01)
        case "outlive":
            while not pathlib.Path(query["gate"]).exists():
                time.sleep(0.01)
            pathlib.Path(query["done"]).touch()
        case "answer":
            return json.loads(event["body"])
    return {"event": event, "pid": os.getpid(), "environment": dict(os.environ)}
"""

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  JwtIssuer: {Type: String}
  JwtAudience: {Type: CommaDelimitedList}
  Greeting: {Type: String, Default: hello}
Globals:
  Function:
    Runtime: python3.13
    Handler: app.lambda_handler
    Layers: [!Ref Shared]
    Environment:
      Variables:
        GREETING: !Sub ${Greeting}, ${AWS::Region}
        BUCKET: !Ref Bucket
Resources:
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      ProtocolType: HTTP
      CorsConfiguration:
        AllowOrigins: [https://app.example.com]
        AllowMethods: [GET, POST]
        AllowHeaders: [authorization]
        ExposeHeaders: [location]
        MaxAge: 600
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties: {ApiId: !Ref Api, StageName: $default, AutoDeploy: true}
  Jwt:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      ApiId: !Ref Api
      Name: Jwt
      AuthorizerType: JWT
      IdentitySource: [$request.header.Authorization]
      JwtConfiguration: {Issuer: !Ref JwtIssuer, Audience: !Ref JwtAudience}
  Bucket: {Type: AWS::S3::Bucket}
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: Shared}
  Probe:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: Probe
      Timeout: 10
  Hasty:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: Probe
      Timeout: 1
  ProbeIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt Probe.Arn
      PayloadFormatVersion: "2.0"
  ImpatientIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt Probe.Arn
      PayloadFormatVersion: "2.0"
      TimeoutInMillis: 200
  HastyIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt Hasty.Arn
      PayloadFormatVersion: "2.0"
  ProbePermission:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !GetAtt Probe.Arn
      Principal: apigateway.amazonaws.com
      SourceArn: !Sub arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*
  HastyPermission:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !GetAtt Hasty.Arn
      Principal: apigateway.amazonaws.com
      SourceArn: !Sub arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*
"""
GUARDED = ("AuthorizationType: JWT", "AuthorizerId: !Ref Jwt")


def route(name: str, key: str, *properties: str, integration: str = "ProbeIntegration") -> str:
    """Return one more resource of the template."""
    target = f'Target: !Sub "integrations/${{{integration}}}"'
    written = [f'RouteKey: "{key}"', "ApiId: !Ref Api", target, *properties]
    lines = "\n".join(f"      {each}" for each in written)
    return f"  {name}:\n    Type: AWS::ApiGatewayV2::Route\n    Properties:\n{lines}\n"


ROUTES = (
    route("Get", "GET /things", *GUARDED)
    + route("Post", "POST /things", *GUARDED)
    + route("One", "GET /things/{id}", *GUARDED)
    + route("Open", "POST /open", "AuthorizationType: NONE")
    + route("Scoped", "GET /scoped", *GUARDED, "AuthorizationScopes: [things:read]")
    + route("Impatient", "GET /impatient", *GUARDED, integration="ImpatientIntegration")
    + route("InHaste", "GET /hasty", *GUARDED, integration="HastyIntegration")
)


@dataclass(frozen=True)
class Api:
    """A small application behind the gateway."""

    url: str
    issuer: Issuer
    emulator: Emulator
    server: Server

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.issuer.token('alice') if token is None else token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False)

    def invoke(self, function: str, event: JsonValue) -> JsonValue:
        return self.server.run(partial(self.emulator.invoke, function, event))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build as `sam build` leaves it: functions, a layer and a template that names their folders."""
    directory = tmp_path_factory.mktemp("built")
    for name, file, text in (
        ("Probe", "app.py", PROBE),
        ("Shared", "python/shared.py", "NAME = 'shared'\n"),
        (".", "template.yaml", TEMPLATE + ROUTES),
    ):
        path = directory / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory / "template.yaml"


@pytest.fixture(scope="session")
def api(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("api")
    with Processes(directory) as processes, Server() as server:
        openid, listener = server.listen(), server.listen()
        issuer = Issuer(directory, f"http://{LOOPBACK}:{openid.getsockname()[1]}")
        server.serve(issuer.app(), openid)
        application = load(
            built,
            {"JwtIssuer": issuer.url, "JwtAudience": f"another,{AUDIENCE}"},
            {"Bucket": "a-bucket"},
            region=REGION,
            overrides={"OVERRIDE": "yes"},
        )
        platform = Lambda(environment("runtime"), "the-key", "the-secret", REGION, directory)
        emulator = Emulator(application.functions, processes, platform)
        server.serve(Gateway(application, emulator.invoke), listener)
        yield Api(f"http://{LOOPBACK}:{listener.getsockname()[1]}", issuer, emulator, server)


def answer(body: JsonValue) -> bytes:
    """The body of a request that makes the probe return exactly this."""
    return json.dumps(body).encode()
