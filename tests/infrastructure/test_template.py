"""The deployment that template.yaml describes: rights, settings, and no resource without a use."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, cast

import pytest

from local.processes.children import LocalStackError
from recorder.sweep.deadlines import HORIZON
from tests.infrastructure.test_documents import variables_read
from tests.support import template
from tests.support.template import endpoints, evaluated, of_kind, resources, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from local.template.transform import Template

ENDPOINTS = (
    "StartRecording",
    "ListRecordings",
    "GetRecording",
    "StopRecording",
    "DeleteRecording",
    "DeleteRecordings",
    "CreateLink",
    "DeleteLink",
)
LIVE = (*ENDPOINTS, "OpenLink", "PlayRecording", "ReceiveLivekitWebhook", "ReconcileRecordings")
TAKES = ("BeginTake", "AssembleRecording")
"""Functions that the others call, in their newest version."""
DEPLOYERS = ("MigrateDatabase", "CheckDeployment")
"""Functions that deployments and operators run, in their newest version."""
FUNCTIONS = (*LIVE, *TAKES, *DEPLOYERS)
PAGE = {"Console": "on", "ConsoleClientId": "page"}

WORKERS = "arn:aws:iam::123456789012:role/egress"

type Grants = set[tuple[str, str]]

READ_EGRESS_SECRET = ("secretsmanager:GetSecretValue", "EgressSecret.Id")
READ_DATABASE_SECRET = ("secretsmanager:GetSecretValue", "database-secret")
READ_LIVEKIT_SECRET = ("secretsmanager:GetSecretValue", "livekit-secret")
BUCKET = "arn:aws:s3:::RecordingsBucket"
FOLDERS = ("recordings/*", "segments/*")
READ_OBJECTS = {("s3:GetObject", f"{BUCKET}/{folder}") for folder in FOLDERS}
REMOVE_OBJECTS = {
    ("s3:ListBucket", BUCKET),
    *(("s3:DeleteObject", f"{BUCKET}/{folder}") for folder in FOLDERS),
}
READ_LIFECYCLE = ("s3:GetLifecycleConfiguration", BUCKET)
WRITE_OBJECTS = {
    (action, f"{BUCKET}/recordings/*") for action in ("s3:PutObject", "s3:AbortMultipartUpload")
} | {("s3:ListBucketMultipartUploads", BUCKET)}
CALL_ASSEMBLER = ("lambda:InvokeFunction", "AssembleRecording.Arn")
CALL_TAKES = {("lambda:InvokeFunction", "BeginTake.Arn"), CALL_ASSEMBLER}
WAKE_SWEEP = ("lambda:InvokeFunction", "ReconcileRecordings.Arn:live")
NETWORK = {
    (f"ec2:{action}", "*")
    for action in (
        "AssignPrivateIpAddresses",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "UnassignPrivateIpAddresses",
    )
}
# The calls that each function makes, each with its resource: beside its own logs.
GRANTS: dict[str, Grants] = {
    "StartRecording": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        READ_EGRESS_SECRET,
        *CALL_TAKES,
        WAKE_SWEEP,
    },
    "ListRecordings": {READ_DATABASE_SECRET},
    "GetRecording": {READ_DATABASE_SECRET, READ_LIVEKIT_SECRET, *READ_OBJECTS, *CALL_TAKES},
    "StopRecording": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        READ_EGRESS_SECRET,
        *READ_OBJECTS,
        *CALL_TAKES,
        WAKE_SWEEP,
    },
    "DeleteRecording": {READ_DATABASE_SECRET, READ_LIVEKIT_SECRET, *REMOVE_OBJECTS, *CALL_TAKES},
    "DeleteRecordings": {READ_DATABASE_SECRET, *CALL_TAKES},
    "CreateLink": {READ_DATABASE_SECRET},
    "DeleteLink": {READ_DATABASE_SECRET},
    "OpenLink": {READ_DATABASE_SECRET, *READ_OBJECTS},
    "PlayRecording": {READ_DATABASE_SECRET, *READ_OBJECTS},
    "ReceiveLivekitWebhook": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        *READ_OBJECTS,
        *CALL_TAKES,
        WAKE_SWEEP,
    },
    "ReconcileRecordings": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        *READ_OBJECTS,
        *REMOVE_OBJECTS,
        *CALL_TAKES,
        ("sqs:SendMessage", "FailedSweeps.Arn"),
    },
    "BeginTake": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        READ_EGRESS_SECRET,
        *READ_OBJECTS,
        CALL_ASSEMBLER,
    },
    "AssembleRecording": {READ_DATABASE_SECRET, *READ_OBJECTS, *REMOVE_OBJECTS, *WRITE_OBJECTS},
    "MigrateDatabase": {READ_DATABASE_SECRET},
    "CheckDeployment": {
        READ_DATABASE_SECRET,
        READ_LIVEKIT_SECRET,
        READ_EGRESS_SECRET,
        READ_LIFECYCLE,
        *READ_OBJECTS,
        *REMOVE_OBJECTS,
    },
}

EVERYWHERE = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
DATABASE = {
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_NAME",
    "DATABASE_USER",
    "DATABASE_AUTHENTICATION",
    "DATABASE_SECRET_ARN",
    "DATABASE_CA_BUNDLE",
}
OWNERSHIP = {"DEPLOYMENT", "RECORDINGS_BUCKET"}
WRITES_ROWS = {"RETENTION_DAYS", "UPLOAD_GRACE_SECONDS", "EVENT_BUS_NAME"}
CALLS_TAKES = {"BEGIN_TAKE_FUNCTION", "ASSEMBLE_FUNCTION", "PAUSE_TIMEOUT_SECONDS"}
BEGINS_TAKES = {"SAFETY_SEGMENTS", "POSTER"}
LIVEKIT = {"LIVEKIT_URL", "LIVEKIT_SECRET_ARN"}
UPLOAD = {
    "EGRESS_S3_ENDPOINT",
    "EGRESS_S3_REGION",
    "EGRESS_S3_SECRET_ARN",
    "EGRESS_S3_ASSUME_ROLE_ARN",
    "EGRESS_S3_EXTERNAL_ID",
    "EGRESS_TEMPLATE_URL",
}
DEADLINES = {"STARTING_TIMEOUT_SECONDS", "STOPPING_TIMEOUT_SECONDS"}
ONE_RECORDING = {"REQUIRED_SCOPE", *OWNERSHIP, *LIVEKIT, *WRITES_ROWS, *CALLS_TAKES}
VARIABLES = {
    "StartRecording": {
        *ONE_RECORDING,
        *UPLOAD,
        *BEGINS_TAKES,
        "SWEEP_FUNCTION",
        "PUBLIC_URL",
        "ROOM_CLAIM",
        "WEB_RECORDING_ORIGINS",
        "MAX_DURATION_SECONDS",
    },
    "ListRecordings": {"REQUIRED_SCOPE"},
    "GetRecording": {*ONE_RECORDING, "PUBLIC_URL", "WAIT_CONCURRENCY", "POSTER"},
    "StopRecording": {
        *ONE_RECORDING,
        *UPLOAD,
        *BEGINS_TAKES,
        "SWEEP_FUNCTION",
        "PUBLIC_URL",
        "WAIT_CONCURRENCY",
    },
    "DeleteRecording": ONE_RECORDING,
    "DeleteRecordings": {"REQUIRED_SCOPE", *WRITES_ROWS, *CALLS_TAKES},
    "CreateLink": {"REQUIRED_SCOPE", "PUBLIC_URL"},
    "DeleteLink": {"REQUIRED_SCOPE"},
    "OpenLink": {*OWNERSHIP, "POSTER", "PUBLIC_URL"},
    "PlayRecording": {*OWNERSHIP, "DVR_SECONDS"},
    "ReceiveLivekitWebhook": {*LIVEKIT, *OWNERSHIP, *WRITES_ROWS, *CALLS_TAKES, "SWEEP_FUNCTION"},
    "ReconcileRecordings": {*OWNERSHIP, *LIVEKIT, *WRITES_ROWS, *CALLS_TAKES, *DEADLINES},
    "BeginTake": {
        *OWNERSHIP,
        *LIVEKIT,
        *WRITES_ROWS,
        *UPLOAD,
        *BEGINS_TAKES,
        "PUBLIC_URL",
        "API_URL",
        "ASSEMBLE_FUNCTION",
        "RESUME_TIMEOUT_SECONDS",
    },
    "AssembleRecording": {*OWNERSHIP, *WRITES_ROWS, "ASSEMBLE_MAX_BYTES"},
    "MigrateDatabase": set[str](),
    "CheckDeployment": {*OWNERSHIP, *LIVEKIT, *UPLOAD, "PUBLIC_URL", "JWT_ISSUER"} - {"EGRESS_TEMPLATE_URL"},
}


def grants(**parameters: str) -> dict[str, Grants]:
    """Return every action that each function's role has, with what it may be done to."""
    deployed = evaluated(**parameters)
    managed = dict(deployed.select("AWS::IAM::ManagedPolicy", "PolicyDocument"))
    roles = dict(deployed.select("AWS::IAM::Role", "Policies", "ManagedPolicyArns"))
    found: dict[str, Grants] = {}
    for function, properties in deployed.select("AWS::Lambda::Function", "Role"):
        role = cast("dict[str, list[JsonValue]]", roles[str(properties["Role"]).removesuffix(".Arn")])
        documents = [cast("dict[str, JsonValue]", policy)["PolicyDocument"] for policy in role["Policies"]]
        documents += [managed[str(name)]["PolicyDocument"] for name in role["ManagedPolicyArns"]]
        found[function] = {grant for document in documents for grant in _grants(document)}
    return found


CODE = {"ArnLike": {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-central-1:000000000000:function:*"}}


def _grants(document: JsonValue) -> Grants:
    statements = cast("dict[str, list[dict[str, JsonValue]]]", document)["Statement"]
    # Nothing is denied but the network's interfaces to the code, where Lambda may attach a function to them.
    denied = [each for each in statements if each["Effect"] != "Allow"]
    attaches = any(each.get("Sid") == "AttachToVpc" for each in statements)
    assert [(each["Action"], each["Condition"]) for each in denied] == [("ec2:*", CODE)] * attaches
    return {
        (action, resource)
        for each in statements
        if each not in denied
        for action in _texts(each["Action"])
        for resource in _texts(each["Resource"])
    }


def _texts(value: JsonValue) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def logs_of(function: str) -> Grants:
    return {(f"logs:{action}", f"{function}Logs.Arn") for action in ("CreateLogStream", "PutLogEvents")}


def changes(**parameters: str) -> dict[str, tuple[Grants, Grants]]:
    """Return what parameters add to and take from each function's grants."""
    before, after = grants(), grants(**parameters)
    return {
        name: (after[name] - before[name], before[name] - after[name])
        for name in FUNCTIONS
        if after[name] != before[name]
    }


def test_each_role_allows_exactly_what_its_function_calls() -> None:
    assert grants() == {name: GRANTS[name] | logs_of(name) for name in FUNCTIONS}


def test_iam_authentication_replaces_the_database_secret() -> None:
    connect = (
        "rds-db:connect",
        "arn:aws:rds-db:eu-central-1:000000000000:dbuser:cluster-ABC/recorder",
    )

    changed = changes(DatabaseAuthentication="iam", DatabaseSecretArn="", DatabaseResourceId="cluster-ABC")

    assert changed == dict.fromkeys(FUNCTIONS, ({connect}, {READ_DATABASE_SECRET}))


def test_an_own_bucket_is_as_closed_as_the_stacks() -> None:
    changed = changes(ExistingBucket="team", AdoptedPrefix="egress/")

    folders = (*FOLDERS, "egress/*")
    read = {("s3:GetObject", f"arn:aws:s3:::team/{folder}") for folder in folders}
    remove = {("s3:ListBucket", "arn:aws:s3:::team")}
    remove |= {("s3:DeleteObject", f"arn:aws:s3:::team/{folder}") for folder in folders}
    write = {(action, resource.replace(BUCKET, "arn:aws:s3:::team")) for action, resource in WRITE_OBJECTS}
    assert {function: added for function, (added, _) in changed.items()} == {
        "GetRecording": read,
        "OpenLink": read,
        "PlayRecording": read,
        "StopRecording": read,
        "ReceiveLivekitWebhook": read,
        "DeleteRecording": remove,
        "ReconcileRecordings": read | remove,
        "BeginTake": read,
        "AssembleRecording": read | remove | write,
        "CheckDeployment": read | remove | {("s3:GetLifecycleConfiguration", "arn:aws:s3:::team")},
    }


@pytest.mark.parametrize(
    ("prefix", "listed"),
    [("", ["recordings/*", "segments/*"]), ("egress/", ["recordings/*", "segments/*", "egress/*"])],
)
def test_only_recordings_are_listed(prefix: str, listed: list[str]) -> None:
    policies = dict(evaluated(AdoptedPrefix=prefix).select("AWS::IAM::ManagedPolicy", "PolicyDocument"))
    document = cast("dict[str, list[dict[str, JsonValue]]]", policies["ObjectRemoval"]["PolicyDocument"])

    [condition] = [each["Condition"] for each in document["Statement"] if each["Action"] == "s3:ListBucket"]

    assert condition == {"StringLike": {"s3:prefix": listed}}


def test_options_grant_only_what_they_need() -> None:
    bus = "arn:aws:events:eu-central-1:000000000000:event-bus/team"

    assert changes(EventBusName="team") == {"ReconcileRecordings": ({("events:PutEvents", bus)}, set())}
    assert changes(SubnetIds="subnet-1", SecurityGroupIds="sg-1") == dict.fromkeys(
        FUNCTIONS, (NETWORK, set())
    )
    decrypt = ({("kms:Decrypt", "key")}, set[tuple[str, str]]())
    assert changes(BucketKeyArn="key") == dict.fromkeys(
        (
            "GetRecording",
            "StopRecording",
            "OpenLink",
            "PlayRecording",
            "ReceiveLivekitWebhook",
            "ReconcileRecordings",
            "BeginTake",
            "CheckDeployment",
        ),
        decrypt,
    ) | {
        "AssembleRecording": (
            {("kms:Decrypt", "key"), ("kms:GenerateDataKey", "key")},
            set[tuple[str, str]](),
        )
    }
    assert changes(SecretsKeyArn="key") == dict.fromkeys(FUNCTIONS, ({("kms:Decrypt", "key")}, set()))


UPLOAD_BELOW_FOLDERS = {
    (action, f"{BUCKET}/{folder}")
    for action in ("s3:PutObject", "s3:AbortMultipartUpload")
    for folder in FOLDERS
}
CREATE = {"EgressCredentials": "create"}
ASSUME_MADE = {"EgressCredentials": "assume-role", "EgressPrincipalArn": WORKERS, "EgressS3ExternalId": "id"}
ASSUME_OWN = {
    "EgressCredentials": "assume-role",
    "EgressS3AssumeRoleArn": WORKERS,
    "EgressS3ExternalId": "id",
}
GIVEN = {
    "EgressCredentials": "given",
    "EgressS3SecretArn": "egress-secret",
    "EgressPrincipalArn": WORKERS,
}
WORKER = {"EgressCredentials": "worker", "EgressPrincipalArn": WORKERS}
WAYS = pytest.mark.parametrize("way", [CREATE, ASSUME_MADE, ASSUME_OWN, GIVEN, WORKER])


def test_workers_may_do_nothing_but_upload() -> None:
    policies = dict(evaluated().select("AWS::IAM::ManagedPolicy", "PolicyDocument"))

    assert _grants(policies["EgressUpload"]["PolicyDocument"]) == UPLOAD_BELOW_FOLDERS
    policies = dict(evaluated(BucketKeyArn="key").select("AWS::IAM::ManagedPolicy", "PolicyDocument"))
    encrypt = {("kms:GenerateDataKey", "key"), ("kms:Decrypt", "key")}
    assert _grants(policies["EgressUpload"]["PolicyDocument"]) == UPLOAD_BELOW_FOLDERS | encrypt


def upload_rights(**parameters: str) -> dict[str, Grants]:
    """Return what the stack allows to whom, beside its own functions."""
    deployed = evaluated(**parameters)
    attached = [
        (name, cast("list[str]", each["ManagedPolicyArns"]))
        for kind in ("AWS::IAM::User", "AWS::IAM::Role")
        for name, each in deployed.select(kind, "ManagedPolicyArns")
        if "EgressUpload" in cast("list[str]", each["ManagedPolicyArns"])
    ]
    assert all(policies == ["EgressUpload"] for _, policies in attached)
    rights: dict[str, Grants] = {name: UPLOAD_BELOW_FOLDERS for name, _ in attached}
    for _, policy in deployed.select("AWS::S3::BucketPolicy", "PolicyDocument"):
        statements = cast("dict[str, list[dict[str, JsonValue]]]", policy["PolicyDocument"])["Statement"]
        for each in [each for each in statements if each["Effect"] == "Allow"]:
            [principal] = cast("dict[str, str]", each["Principal"]).values()
            resources: list[JsonValue] = [
                text.replace("RecordingsBucket.Arn", BUCKET) for text in _texts(each["Resource"])
            ]
            rights[principal] = _grants({"Statement": [{**each, "Resource": resources}]})
    return rights


@WAYS
def test_each_way_allows_one_writer_to_upload_and_tells_livekit_of_it(way: dict[str, str]) -> None:
    functions = dict(evaluated(**way).select("AWS::Lambda::Function", "Environment"))
    told = cast("dict[str, dict[str, str]]", functions["StartRecording"]["Environment"])["Variables"]
    variables = ("EGRESS_S3_SECRET_ARN", "EGRESS_S3_ASSUME_ROLE_ARN", "EGRESS_S3_EXTERNAL_ID")
    expected = {
        "create": ("EgressUser", ("EgressSecret.Id", "", "")),
        "given": (WORKERS, ("egress-secret", "", "")),
        "worker": (WORKERS, ("", "", "")),
        "assume-role": ("EgressRole", ("", "EgressRole.Arn", "id")),
    }
    if way is ASSUME_OWN:
        expected["assume-role"] = (WORKERS, ("", WORKERS, "id"))
    writer, values = expected[way["EgressCredentials"]]

    assert upload_rights(**way) == {writer: UPLOAD_BELOW_FOLDERS}
    assert tuple(told[name] for name in variables) == values


@WAYS
def test_each_way_makes_only_what_it_needs(way: dict[str, str]) -> None:
    kinds = ("AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::SecretsManager::Secret")
    deployed = evaluated(**way)
    made = {name for kind in kinds for name, _ in deployed.select(kind)}
    roles = {name for name, _ in deployed.select("AWS::IAM::Role")}

    assert made == ({"EgressUser", "EgressKey", "EgressSecret"} if way is CREATE else set())
    assert ("EgressRole" in roles) == (way is ASSUME_MADE)


def test_the_role_is_assumed_by_the_workers_alone_and_with_its_external_id() -> None:
    def trust(**parameters: str) -> JsonValue:
        roles = dict(evaluated(**parameters).select("AWS::IAM::Role", "AssumeRolePolicyDocument"))
        document = cast("dict[str, list[JsonValue]]", roles["EgressRole"]["AssumeRolePolicyDocument"])
        return document["Statement"]

    by_workers = {"Effect": "Allow", "Principal": {"AWS": WORKERS}, "Action": "sts:AssumeRole"}
    with_id = {"Condition": {"StringEquals": {"sts:ExternalId": "id"}}}

    assert trust(**ASSUME_MADE) == [by_workers | with_id]
    assert trust(EgressCredentials="assume-role", EgressPrincipalArn=WORKERS) == [by_workers]


def test_the_keys_that_the_stack_makes_are_read_by_those_that_start_egress_and_the_doctor_alone() -> None:
    [(_, secret)] = evaluated().select("AWS::SecretsManager::Secret", "SecretString", "KmsKeyId")

    assert json.loads(str(secret["SecretString"])) == {
        "access_key": "EgressKey",
        "secret": "EgressKey.SecretAccessKey",
    }
    readers = [name for name, granted in grants().items() if READ_EGRESS_SECRET in granted]
    assert sorted(readers) == ["BeginTake", "CheckDeployment", "StartRecording", "StopRecording"]
    taken = ({("secretsmanager:GetSecretValue", "egress-secret")}, {READ_EGRESS_SECRET})
    assert changes(**GIVEN) == dict.fromkeys(readers, taken)
    for way in (ASSUME_MADE, ASSUME_OWN, WORKER):
        assert changes(**way) == dict.fromkeys(readers, (set(), {READ_EGRESS_SECRET}))


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"DatabaseSecretArn": ""}, "DatabaseAuthentication=password needs DatabaseSecretArn"),
        ({"DatabaseAuthentication": "iam"}, "DatabaseAuthentication=iam needs DatabaseResourceId"),
        ({"DomainName": "api.example.com"}, "DomainName needs CertificateArn"),
        ({"SubnetIds": "subnet-0a"}, "SubnetIds need SecurityGroupIds"),
        ({"EgressPrincipalArn": WORKERS}, "EgressCredentials=create makes a user of its own"),
        ({"EgressCredentials": "assume-role"}, "EgressCredentials=assume-role needs EgressPrincipalArn"),
        ({"EgressCredentials": "given"}, "EgressCredentials=given needs EgressS3SecretArn"),
        ({"EgressS3SecretArn": "secret"}, "EgressS3SecretArn is for EgressCredentials=given"),
        ({"EgressS3AssumeRoleArn": WORKERS}, "are for EgressCredentials=assume-role"),
        ({**WORKER, "EgressS3ExternalId": "id"}, "are for EgressCredentials=assume-role"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused_with_a_reason(
    parameters: dict[str, str], reason: str
) -> None:
    with pytest.raises(LocalStackError, match=re.escape(reason)):
        evaluated(**parameters)


def test_what_is_needed_is_asked_first_and_the_rest_has_a_default() -> None:
    parameters = section("Parameters")
    interface = section("Metadata")["AWS::CloudFormation::Interface"]
    groups = cast("list[dict[str, list[str]]]", interface["ParameterGroups"])
    needed = [name for name, parameter in parameters.items() if "Default" not in parameter]

    assert [*parameters][: len(needed)] == needed
    # A dozen questions matter to a newcomer, and they come first in the console as on the command line.
    assert [*parameters] == [name for group in groups for name in group["Parameters"]]
    assert len(groups[0]["Parameters"]) == 12
    # The guided deploy asks for such a parameter until something is typed.
    assert [name for name, parameter in parameters.items() if "NoEcho" in parameter] == []


def test_each_function_is_told_exactly_what_it_reads() -> None:
    told = {
        name: set(cast("dict[str, dict[str, str]]", properties["Environment"])["Variables"])
        for name, properties in evaluated().select("AWS::Lambda::Function", "Environment")
    }

    for name in (*LIVE, *TAKES):
        # Nobody reads it: with it, Lambda sees that there is something to publish.
        told[name].remove("CONFIGURATION")
    assert told == {name: EVERYWHERE | DATABASE | VARIABLES[name] for name in FUNCTIONS}


def test_every_setting_can_be_reached_by_a_parameter() -> None:
    told = DATABASE.union(*VARIABLES.values())
    platform = {name for name in variables_read() if name.startswith("AWS_")}

    # Plaintext to the database is for a Postgres on loopback only.
    assert variables_read() == told | platform | {"DATABASE_TLS"}


def test_scopes_are_those_of_the_operation() -> None:
    scopes = {
        function: function.removesuffix("Recordings").removesuffix("Recording") for function in ENDPOINTS
    }
    scopes |= {"GetRecording": "Read", "CreateLink": "Share", "DeleteLink": "Share"}
    parameters = {f"ScopeTo{verb}": f"recordings:{verb}" for verb in scopes.values()}

    functions = dict(evaluated(**parameters).select("AWS::Lambda::Function", "Environment"))

    for function, verb in scopes.items():
        environment = cast("dict[str, dict[str, str]]", functions[function]["Environment"])
        assert environment["Variables"]["REQUIRED_SCOPE"] == f"recordings:{verb}"


def waits_for(name: str, everything: Mapping[str, template.Resource]) -> set[str]:
    """Return all that must be done before a resource is created or changed. Fails on a circle."""
    found: set[str] = set()

    def visit(each: str, path: tuple[str, ...]) -> None:
        assert each not in path, f"circle: {path} {each}"
        if each in everything and each not in found:
            for next_one in everything[each].depends_on():
                visit(next_one, (*path, each))
            found.add(each)

    visit(name, ())
    return found - {name}


DOMAIN = {"DomainName": "api.example.com", "CertificateArn": "certificate"}
ORIGINS = {"AllowedOrigins": "https://app.example.com,https://www.example.com"}
ROLLOUTS = pytest.mark.parametrize("rollout", ["AllAtOnce", "Canary10Percent5Minutes"])


@ROLLOUTS
def test_nothing_waits_for_itself(rollout: str) -> None:
    everything = resources(Rollout=rollout)

    for name in everything:
        waits_for(name, everything)


def test_the_check_comes_last() -> None:
    """It looks at what users and LiveKit would meet."""
    everything = resources()
    before = waits_for("DeploymentCheck", everything)
    webhook = {name for name in everything if name.startswith("ReceiveLivekitWebhook") and name in before}

    assert {"ApiStage", "Migration", "CheckDeployment", "ReceiveLivekitWebhookPermission"} <= before
    assert {"ReceiveLivekitWebhookGlobalRoute", "ReceiveLivekitWebhookAliaslive"} <= webhook


@ROLLOUTS
def test_no_function_gets_new_code_before_the_migration(rollout: str) -> None:
    everything = resources(Rollout=rollout)
    functions = {name for name, each in everything.items() if each.kind == "AWS::Lambda::Function"}

    assert functions == {*FUNCTIONS, "ServeConsole"}
    assert waits_for("Migration", everything) & functions == {"MigrateDatabase"}
    for function in (*LIVE, *TAKES, "ServeConsole"):
        assert "Migration" in waits_for(function, everything)


def test_traffic_comes_through_aliases_alone() -> None:
    everything = resources()
    callers = {"AWS::ApiGatewayV2::Integration", "AWS::Events::Rule"}
    called = {name for each in everything.values() if each.kind in callers for name in each.depends_on()}

    assert called & set(FUNCTIONS) == set()
    assert {f"{function}Aliaslive" for function in LIVE} <= called
    for function in LIVE:
        alias = everything[f"{function}Aliaslive"]
        [version] = [name for name in alias.depends_on() if name.startswith(f"{function}Version")]
        assert function in everything[version].depends_on()


def test_the_migration_is_named_in_the_template() -> None:
    scripts = sorted(
        path.stem.partition("_")[0]
        for path in (template.SOURCE.parent / "functions/migrate_database/migrations/versions").glob("*.py")
    )
    properties = section("Resources")["Migration"]["Properties"]

    # The custom resource tells going back from going on by comparing revisions as text.
    assert all(re.fullmatch(r"\d{4}", revision) for revision in scripts)
    assert cast("dict[str, JsonValue]", properties)["Revision"] == scripts[-1]


def test_another_database_is_migrated_too() -> None:
    watched = {"DatabaseHost", "DatabasePort", "DatabaseName"}

    assert watched <= resources()["Migration"].depends_on()


def test_a_new_layer_publishes_every_function() -> None:
    text = template.SOURCE.read_text()
    before = template.resources_of(text)
    after = template.resources_of(text.replace("ContentUri: layers/recorder/", "ContentUri: layers/other/"))

    def versions(everything: Mapping[str, template.Resource]) -> dict[str, str]:
        named = (name for name, each in everything.items() if each.kind == "AWS::Lambda::Version")
        return {name.partition("Version")[0]: name for name in named}

    assert set(versions(before)) == set(versions(after)) == {*LIVE, "ServeConsole"}
    assert all(versions(before)[function] != versions(after)[function] for function in LIVE)


BASES: tuple[dict[str, str], ...] = (
    {},
    {"DatabaseAuthentication": "iam", "DatabaseResourceId": "db-ABC", "DatabaseSecretArn": ""},
    {"DatabaseResourceId": "db-ABC", "SecurityGroupIds": "sg-0a", "SubnetIds": "subnet-0a"},
    {**DOMAIN, "HostedZoneId": "Z1"},
    PAGE,
    {"EgressCredentials": "assume-role", "EgressPrincipalArn": WORKERS},
    {"EgressCredentials": "assume-role", "EgressS3AssumeRoleArn": WORKERS},
    {"EgressCredentials": "given", "EgressS3SecretArn": "egress-secret"},
    {"EgressCredentials": "worker", "EgressPrincipalArn": WORKERS},
)
"""Parameters that do something only together with others."""
PUBLISHED = (
    "Architectures",
    "Environment",
    "Layers",
    "MemorySize",
    "Role",
    "Runtime",
    "SnapStart",
    "Timeout",
    "VpcConfig",
)
"""Properties that a version keeps of its function, beside the code."""


@pytest.mark.parametrize("parameter", section("Parameters"))
def test_a_parameter_alone_publishes_the_functions_that_it_sets_up(parameter: str) -> None:
    """The SAM transform names a version after the parameters, not after what they say."""
    declared = section("Parameters")[parameter]
    default = declared.get("Default")
    allowed = cast("list[JsonValue]", declared.get("AllowedValues", ["7"]))
    # Of a way to upload each value matters, as each needs other parameters beside it.
    others = [str(each) for each in allowed if each != default][
        : 3 if parameter == "EgressCredentials" else 1
    ]

    def made_of(parameters: dict[str, str]) -> dict[str, dict[str, JsonValue]] | None:
        try:
            functions = dict(evaluated(**parameters).select("AWS::Lambda::Function", *PUBLISHED))
        except LocalStackError:
            return None  # what the template's rules refuse
        return {name: functions[name] for name in (*LIVE, "ServeConsole") if name in functions}

    migration = cast("dict[str, JsonValue]", section("Resources")["Migration"]["Properties"])
    named = cast("list[JsonValue]", migration["Configuration"])
    made = ((made_of(base), made_of(base | {parameter: value})) for base in BASES for value in others)
    changes = any(
        before[name] != after[name]
        for before, after in made
        if before is not None and after is not None
        for name in before.keys() & after.keys()
    )

    assert changes == ({"Ref": parameter} in named)


def test_what_sets_up_a_function_describes_its_version() -> None:
    descriptions = [properties for _, properties in evaluated().select("AWS::Lambda::Version", "Description")]

    assert descriptions == [{"Description": "Migration.Configuration"}] * len(LIVE)


def test_a_gradual_rollout_shifts_every_alias_and_watches_an_alarm() -> None:
    at_once, gradual = resources(), resources(Rollout="Linear10PercentEvery1Minute")

    assert not [name for name, each in at_once.items() if each.kind.startswith("AWS::CodeDeploy::")]
    for function in LIVE:
        group = gradual[f"{function}DeploymentGroup"]
        assert "FunctionsFailing" in group.depends_on()
        assert group.properties["DeploymentConfigName"] == {
            "Fn::Sub": [
                "CodeDeployDefault.Lambda${ConfigName}",
                {"ConfigName": "Linear10PercentEvery1Minute"},
            ]
        }
        assert f"{function}DeploymentGroup" in gradual[f"{function}Aliaslive"].depends_on()


def test_snapshots_are_an_option_of_what_takes_traffic() -> None:
    functions = dict(evaluated(SnapStart="PublishedVersions").select("AWS::Lambda::Function", "SnapStart"))

    applied = {name: properties["SnapStart"] for name, properties in functions.items()}

    assert applied == {
        **{name: {"ApplyOn": "PublishedVersions"} for name in LIVE},
        **{name: {"ApplyOn": "None"} for name in (*TAKES, *DEPLOYERS)},
    }


def test_functions_run_in_the_vpc_that_is_given() -> None:
    vpc = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    inside = evaluated(SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1")

    for _, properties in inside.select("AWS::Lambda::Function", "VpcConfig"):
        assert properties["VpcConfig"] == vpc
    for _, properties in evaluated().select("AWS::Lambda::Function", "VpcConfig"):
        assert properties == {}


APIS = pytest.mark.parametrize("parameters", [{}, DOMAIN, ORIGINS, {**DOMAIN, **ORIGINS}])
"""Every combination of what changes the API."""


@APIS
def test_every_route_is_guarded_unless_livekit_signs_its_requests_or_a_link_opens_it(
    parameters: dict[str, str],
) -> None:
    authorizers = dict(
        evaluated(**parameters).select(
            "AWS::ApiGatewayV2::Authorizer", "AuthorizerType", "IdentitySource", "JwtConfiguration"
        )
    )
    guards = {route: each.authorizer for route, each in endpoints(**parameters).items()}

    assert authorizers == {
        "Jwt": {
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": {"Issuer": "https://issuer.example.com", "Audience": ["recordings"]},
        }
    }
    assert guards
    for (_, path), authorizer in guards.items():
        open_ = path.startswith(("/api/video/livekit/webhook", "/api/video/shared", "/api/video/play/"))
        assert authorizer == (None if open_ else "Jwt"), path


@APIS
def test_the_api_may_invoke_what_its_routes_lead_to_and_nothing_else(parameters: dict[str, str]) -> None:
    source = "arn:aws:execute-api:eu-central-1:000000000000:HttpApi/*"
    permitted = [
        (each["FunctionName"], each["Action"], each["SourceArn"])
        for _, each in evaluated(**parameters).select(
            "AWS::Lambda::Permission", "FunctionName", "Action", "Principal", "SourceArn"
        )
        if each["Principal"] == "apigateway.amazonaws.com"
    ]
    aliases = {each.alias for each in endpoints(**parameters).values()}

    assert sorted(permitted) == sorted((alias, "lambda:InvokeFunction", source) for alias in aliases)


def test_all_of_the_api_is_written_out() -> None:
    """SAM imports an API that it makes of `Events`, and a property that the import does not know may get lost."""
    [properties] = [each for _, each in evaluated().select("AWS::ApiGatewayV2::Api", "Body", "ProtocolType")]
    integrations = evaluated().select(
        "AWS::ApiGatewayV2::Integration", "ApiId", "IntegrationType", "PayloadFormatVersion"
    )

    assert properties == {"ProtocolType": "HTTP"}
    for _, integration in integrations:
        assert integration == {
            "ApiId": "HttpApi",
            "IntegrationType": "AWS_PROXY",
            "PayloadFormatVersion": "2.0",
        }


def api(**parameters: str) -> dict[str, JsonValue]:
    [(_, properties)] = evaluated(**parameters).select(
        "AWS::ApiGatewayV2::Api", "CorsConfiguration", "DisableExecuteApiEndpoint"
    )
    return properties


def test_browsers_are_let_in_by_origin() -> None:
    cors = cast("dict[str, JsonValue]", api(**ORIGINS)["CorsConfiguration"])

    assert cors["AllowOrigins"] == ORIGINS["AllowedOrigins"].split(",")
    # A browser's preflight has to allow the method of every route.
    assert {*cast("list[str]", cors["AllowMethods"])} == {method for method, _ in endpoints()}
    assert "CorsConfiguration" not in api()


def test_the_api_is_throttled() -> None:
    throttles = {
        "RequestsPerSecond": "7",
        "RequestBurst": "9",
        "LinkRequestsPerSecond": "2",
        "LinkRequestBurst": "3",
    }
    [(_, stage)] = evaluated(**throttles).select(
        "AWS::ApiGatewayV2::Stage", "DefaultRouteSettings", "RouteSettings"
    )

    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"}
    # Viewers with a link have no account, and must not take the requests of those who have one.
    assert stage["RouteSettings"] == {
        "POST /api/video/shared": {"ThrottlingRateLimit": "2", "ThrottlingBurstLimit": "3"},
        "GET /api/video/play/{id}/live.m3u8": {"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"},
    }
    assert {"OpenLinkRoute", "PlayRecordingRoute"} <= resources()["ApiStage"].depends_on()


def test_a_custom_domain_is_the_only_address() -> None:
    deployed = evaluated(**DOMAIN, HostedZoneId="Z1")

    assert [name for name, _ in deployed.select("AWS::ApiGatewayV2::ApiMapping")] == ["ApiDomainMapping"]
    assert [name for name, _ in deployed.select("AWS::Route53::RecordSet")] == ["ApiDomainRecord"]
    assert [*evaluated(**DOMAIN).select("AWS::Route53::RecordSet")] == []
    assert [*evaluated().select("AWS::ApiGatewayV2::DomainName")] == []
    assert api(**DOMAIN)["DisableExecuteApiEndpoint"] is True
    assert api()["DisableExecuteApiEndpoint"] is False


@pytest.mark.parametrize(
    ("parameters", "address"),
    [({}, "HttpApi.ApiEndpoint"), (DOMAIN, f"https://{DOMAIN['DomainName']}")],
    ids=["without a domain", "with a domain"],
)
def test_livekit_reports_a_take_that_no_request_begins_to_the_api(
    parameters: dict[str, str], address: str
) -> None:
    variables = dict(evaluated(**parameters).select("AWS::Lambda::Function", "Environment"))
    told = cast("dict[str, dict[str, str]]", variables["BeginTake"]["Environment"])["Variables"]

    assert told["API_URL"] == address


def test_the_stacks_bucket_is_private_encrypted_and_unversioned() -> None:
    [(_, bucket)] = evaluated().select(
        "AWS::S3::Bucket",
        "PublicAccessBlockConfiguration",
        "BucketEncryption",
        "LifecycleConfiguration",
        "VersioningConfiguration",
    )
    [(_, policy)] = evaluated().select("AWS::S3::BucketPolicy", "PolicyDocument")
    [statement] = cast("dict[str, list[dict[str, JsonValue]]]", policy["PolicyDocument"])["Statement"]
    lifecycle = cast("dict[str, list[dict[str, JsonValue]]]", bucket["LifecycleConfiguration"])

    assert cast("dict[str, bool]", bucket["PublicAccessBlockConfiguration"]) == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert "SSEAlgorithm" in json.dumps(bucket["BucketEncryption"])
    unfinished, segments = lifecycle["Rules"]
    assert unfinished["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert (segments["Prefix"], segments["ExpirationInDays"]) == ("segments/", 7)
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
    # A deleted object must be gone.
    assert "VersioningConfiguration" not in bucket


def test_an_existing_bucket_is_used_as_it_is() -> None:
    deployed = evaluated(ExistingBucket="team")
    functions = deployed.select("AWS::Lambda::Function", "Environment")
    buckets = {
        cast("dict[str, dict[str, str]]", properties["Environment"])["Variables"].get("RECORDINGS_BUCKET")
        for _, properties in functions
    }

    assert [*deployed.select("AWS::S3::Bucket")] == [*deployed.select("AWS::S3::BucketPolicy")] == []
    assert buckets == {"team", None}


def test_recordings_and_logs_outlive_the_stack() -> None:
    kept = {**of_kind("AWS::Logs::LogGroup"), **of_kind("AWS::S3::Bucket")}

    assert set(kept) == {
        "ApiLogs",
        "RecordingsBucket",
        "ServeConsoleLogs",
        *(f"{name}Logs" for name in FUNCTIONS),
    }
    for each in kept.values():
        # A first deployment that fails leaves nothing behind.
        assert each.attributes["DeletionPolicy"] == "RetainExceptOnCreate"
        assert each.attributes["UpdateReplacePolicy"] == "Retain"


def test_every_log_group_forgets() -> None:
    groups = dict(evaluated(LogRetentionDays="14").select("AWS::Logs::LogGroup", "RetentionInDays"))
    functions = dict(evaluated().select("AWS::Lambda::Function", "LoggingConfig"))

    assert {properties["RetentionInDays"] for properties in groups.values()} == {"14"}
    for name, properties in functions.items():
        assert properties["LoggingConfig"] == {"LogGroup": f"{name}Logs"}


def test_a_sweep_that_fails_is_kept_and_the_next_one_is_the_retry() -> None:
    [(_, rule)] = evaluated().select("AWS::Events::Rule", "Targets")
    [target] = cast("list[dict[str, JsonValue]]", rule["Targets"])
    invocations = dict(
        evaluated().select(
            "AWS::Lambda::EventInvokeConfig", "FunctionName", "MaximumRetryAttempts", "DestinationConfig"
        )
    )

    assert target["DeadLetterConfig"] == {"Arn": "FailedSweeps.Arn"}
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
    assert invocations["ReconcileRecordingsEventInvokeConfig"] == {
        "FunctionName": "ReconcileRecordings",
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": "FailedSweeps.Arn"}},
    }


def test_t55_a_sweep_lasts_until_the_next_one_keeps_the_deadlines() -> None:
    [(_, rule)] = evaluated().select("AWS::Events::Rule", "ScheduleExpression")
    timeouts = dict(evaluated().select("AWS::Lambda::Function", "Timeout"))
    assert rule == {"ScheduleExpression": "rate(1 minute)"}
    seconds = cast("int", timeouts["ReconcileRecordings"]["Timeout"])
    assert 60 < HORIZON.total_seconds() <= seconds - 5


@pytest.mark.parametrize(("sweep", "reserved"), [("2", {"ReconcileRecordings": "2"}), ("0", {})])
def test_concurrency_is_reserved_for_the_sweep_and_for_nothing_else(
    sweep: str, reserved: dict[str, str]
) -> None:
    name = "ReservedConcurrentExecutions"
    functions = evaluated(SweepConcurrency=sweep).select("AWS::Lambda::Function", name)

    assert {function: found[name] for function, found in functions if found} == reserved
    # A young account has nothing to reserve.
    assert not any(found for _, found in evaluated().select("AWS::Lambda::Function", name))


def test_every_parameter_is_described_checked_and_in_one_group() -> None:
    parameters = section("Parameters")
    interface = section("Metadata")["AWS::CloudFormation::Interface"]
    groups = cast("list[dict[str, list[str]]]", interface["ParameterGroups"])
    checks = {"AllowedPattern", "AllowedValues", "MinValue", "MinLength"}
    # Free text: whatever the identity provider has chosen.
    unchecked = {"JwtAudience"}

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)
    for name, parameter in parameters.items():
        assert str(parameter["Description"])[0].isupper(), name
        assert checks & parameter.keys() or name in unchecked, name
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        ("JwtIssuer", ["https://issuer.example.com/tenant"], ["", "http://issuer", "issuer.example.com"]),
        (
            "ScopeToStart",
            ["", "recordings:start", "https://api/x", "cognito:groups=staff"],
            ["two scopes", 'quo"te', "tab\t"],
        ),
        (
            "RoomClaim",
            ["*", "video.room,video.roomRecord", "https://example.com/rooms"],
            ["", "a b", "$.x", "a,", ",a", "*,a"],
        ),
        (
            "AllowedOrigins",
            ["", "*", "https://a.example", "https://a,http://b:3000"],
            ["a.example", "*,https://a"],
        ),
        ("DomainName", ["", "api.example.com"], ["https://api.example.com", "API.example.com", "a_b"]),
        (
            "CertificateArn",
            ["", "arn:aws:acm:eu-central-1:123456789012:certificate/1-2"],
            ["arn:aws:iam::1:x"],
        ),
        ("LiveKitUrl", ["wss://lk.example.com", "http://10.0.0.1:7880"], ["", "lk.example.com"]),
        ("LiveKitSecretArn", ["arn:aws-us-gov:secretsmanager:x:1:secret:a"], ["", "livekit"]),
        ("DatabaseHost", ["db.example.com", "10.0.0.1", "::1"], ["", "db.example.com/x", "a b"]),
        ("DatabaseSecretArn", ["", "arn:aws:secretsmanager:eu-central-1:1:secret:a"], ["hunter2"]),
        ("DatabaseResourceId", ["", "db-ABC", "cluster-ABC", "prx-0abc"], ["mydb", "*"]),
        ("DatabaseCaBundle", ["", "/opt/certificates/global-bundle.pem"], ["global-bundle.pem"]),
        ("SubnetIds", ["", "subnet-0a", "subnet-0a,subnet-0b"], ["subnet-0a, subnet-0b", "vpc-1"]),
        ("SecurityGroupIds", ["", "sg-0a"], ["default"]),
        ("SecretsKeyArn", ["", "arn:aws:kms:eu-central-1:123456789012:key/1"], ["alias/x"]),
        ("ExistingBucket", ["", "team-recordings-1"], ["s3://team", "Team", "a", "team.recordings"]),
        ("BucketKeyArn", ["", "arn:aws:kms:eu-central-1:123456789012:key/1"], ["alias/x"]),
        ("AdoptedPrefix", ["", "egress/"], ["*", "a b"]),
        ("EgressS3AssumeRoleArn", ["", "arn:aws:iam::123456789012:role/x"], ["x"]),
        (
            "EgressPrincipalArn",
            ["", "arn:aws:iam::123456789012:user/egress", "arn:aws-cn:iam::123456789012:role/x/y"],
            ["*", "123456789012", "arn:aws:iam::123456789012:root"],
        ),
        ("EgressS3ExternalId", ["", "our-id", "a:b/c=d@e"], ["a", "a b"]),
        ("EventBusName", ["", "default", "team/bus"], ["arn:aws:events:x:1:event-bus/y"]),
        ("AlarmTopicArn", ["", "arn:aws:sns:eu-central-1:123456789012:alarms"], ["alarms"]),
    ],
)
def test_parameters_take_what_is_meant_and_refuse_what_is_not(
    parameter: str, accepted: list[str], refused: list[str]
) -> None:
    pattern = re.compile(str(section("Parameters")[parameter]["AllowedPattern"]))

    assert [text for text in accepted if not pattern.fullmatch(text)] == []
    assert [text for text in refused if pattern.fullmatch(text)] == []


def test_defaults_are_accepted() -> None:
    for name, parameter in section("Parameters").items():
        default = str(parameter.get("Default", ""))
        if "Default" in parameter and "AllowedPattern" in parameter:
            assert re.fullmatch(str(parameter["AllowedPattern"]), default), name
        if "AllowedValues" in parameter:
            assert default in [str(value) for value in cast("list[JsonValue]", parameter["AllowedValues"])], (
                name
            )


def test_environments_hold_known_values_and_no_account() -> None:
    text = (template.SOURCE.parent / "samconfig.toml").read_text()
    environments = tomllib.loads(text)
    parameters = section("Parameters")

    assert {"dev", "prod"} <= environments.keys()
    assert not re.search(r"arn:|\d{12}|amazonaws|region|profile", text)
    for environment in ("dev", "prod"):
        for override in environments[environment]["deploy"]["parameters"]["parameter_overrides"]:
            name, _, value = override.partition("=")
            allowed = cast("list[JsonValue]", parameters[name].get("AllowedValues", [value]))
            assert value in [str(each) for each in allowed], override


def test_the_page_is_there_only_where_it_is_asked_for() -> None:
    assert not [name for name, _ in evaluated().select("AWS::Lambda::Function") if name == "ServeConsole"]
    assert not [each for each in routes(evaluated()) if "/console" in each]
    assert routes(evaluated(**PAGE)) >= {"GET /console", "GET /console/{proxy+}"}
    with pytest.raises(LocalStackError):
        evaluated(Console="on")


def test_the_page_has_no_secret_no_database_no_network_and_no_layer() -> None:
    deployed = evaluated(**PAGE, SubnetIds="subnet-1", SecurityGroupIds="sg-1")
    functions = dict(deployed.select("AWS::Lambda::Function", "Environment", "Layers", "VpcConfig"))
    environment = cast("dict[str, dict[str, str]]", functions["ServeConsole"]["Environment"])

    assert "Layers" not in functions["ServeConsole"]
    assert "VpcConfig" not in functions["ServeConsole"]
    assert environment["Variables"] == {
        "CONFIGURATION": "Migration.Configuration",
        "JWT_ISSUER": "https://issuer.example.com",
        "CONSOLE_CLIENT_ID": "page",
        "CONSOLE_TOKEN_ORIGIN": "",
        "CONSOLE_AUTHORIZE_PARAMETERS": "scope=openid",
        "BUCKET_URL": "https://RecordingsBucket.s3.eu-central-1.amazonaws.com",
    }
    roles = dict(deployed.select("AWS::IAM::Role", "Policies"))
    policies = cast("list[dict[str, JsonValue]]", roles["ServeConsoleRole"]["Policies"])
    assert {grant for each in policies for grant in _grants(each["PolicyDocument"])} == logs_of(
        "ServeConsole"
    )


def test_a_page_of_any_origin_may_use_a_presigned_link() -> None:
    [(_, bucket)] = evaluated().select("AWS::S3::Bucket", "CorsConfiguration")

    [rule] = cast("dict[str, list[dict[str, JsonValue]]]", bucket["CorsConfiguration"])["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["GET", "HEAD"], ["*"])


def routes(deployed: Template) -> set[str]:
    return {str(each["RouteKey"]) for _, each in deployed.select("AWS::ApiGatewayV2::Route", "RouteKey")}
