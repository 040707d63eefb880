"""database.yaml: a database and a network that fit template.yaml, and that nobody gets into from outside."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from local.template.transform import parse
from tests.support import template
from tests.support.template import section
from tools.rds_certificates import FOLDER, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

DATABASE: Final = parse((template.SOURCE.parent / "database.yaml").read_text())
RESOURCES: Final = cast("dict[str, dict[str, JsonValue]]", DATABASE["Resources"])
OUTPUTS: Final = cast("dict[str, dict[str, JsonValue]]", DATABASE["Outputs"])
AUTHORITIES: Final = sorted(FOLDER.glob("*.pem"))


def properties(name: str) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", RESOURCES[name]["Properties"])


def test_every_output_is_a_parameter_of_the_application_and_fits_it() -> None:
    parameters = section("Parameters")

    assert OUTPUTS.keys() <= parameters.keys()
    for name, output in OUTPUTS.items():
        if isinstance(output["Value"], str):
            allowed = cast("list[JsonValue]", parameters[name].get("AllowedValues", [output["Value"]]))
            assert output["Value"] in allowed
    # All that the application asks of Postgres and the network.
    asked = {name for name in parameters if name.startswith("Database")} | {"SubnetIds", "SecurityGroupIds"}
    assert OUTPUTS.keys() == asked


def test_the_layer_carries_the_authorities_of_the_databases_region() -> None:
    value = cast("dict[str, str]", OUTPUTS["DatabaseCaBundle"]["Value"])["Fn::Sub"]
    folder, _, file = value.rpartition("/")

    # The makefile copies `certificates` to /opt.
    assert folder == f"/opt/{FOLDER.relative_to(template.SOURCE.parent / 'layers/recorder')}"
    assert file == "${AWS::Region}.pem"
    assert {"eu-central-1.pem", "us-east-1.pem", "ap-southeast-2.pem"} <= {path.name for path in AUTHORITIES}
    assert re.fullmatch(
        str(section("Parameters")["DatabaseCaBundle"]["AllowedPattern"]), f"{folder}/eu-central-1.pem"
    )


@pytest.mark.parametrize("path", AUTHORITIES, ids=lambda path: path.stem)
def test_a_regions_authorities_are_its_own_three_and_good_for_decades(path: object) -> None:
    file = FOLDER / f"{getattr(path, 'stem', '')}.pem"
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    names = [
        NAME.fullmatch(str(each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value))
        for each in certificates
    ]

    assert [name and name[1] for name in names] == [file.stem] * 3
    for each in certificates:
        # Nobody else has signed them, and each is the certificate of an authority.
        each.verify_directly_issued_by(each)
        assert each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert each.not_valid_after_utc > datetime.now(UTC) + timedelta(days=365 * 20)
    assert len(ssl.create_default_context(cafile=file).get_ca_certs()) == 3


def test_the_database_is_private_encrypted_and_survives_its_stack() -> None:
    database = properties("Database")

    assert (database["PubliclyAccessible"], database["StorageEncrypted"]) == (False, True)
    assert (database["ManageMasterUserPassword"], database["EnableIAMDatabaseAuthentication"]) == (True, True)
    assert database["DeletionProtection"] is True
    assert (RESOURCES["Database"]["DeletionPolicy"], RESOURCES["Database"]["UpdateReplacePolicy"]) == (
        "Snapshot",
        "Snapshot",
    )
    assert database["DBSubnetGroupName"] == {"Ref": "DatabaseSubnets"}
    # The outputs.
    assert (database["DBName"], database["MasterUsername"]) == (
        OUTPUTS["DatabaseName"]["Value"],
        OUTPUTS["DatabaseUser"]["Value"],
    )


def ingress() -> Iterator[dict[str, JsonValue]]:
    for resource in RESOURCES.values():
        if resource["Type"] == "AWS::EC2::SecurityGroup":
            rules = cast("dict[str, JsonValue]", resource["Properties"]).get("SecurityGroupIngress", [])
            yield from cast("list[dict[str, JsonValue]]", rules)


def test_nobody_gets_in_but_the_functions() -> None:
    sources = [rule.get("SourceSecurityGroupId") for rule in ingress()]

    assert sources == [{"Ref": "FunctionsGroup"}] * len(sources)
    assert "SecurityGroupIngress" not in properties("FunctionsGroup")


def test_only_the_way_out_has_a_route_to_the_internet() -> None:
    gateways = {
        name
        for name, resource in RESOURCES.items()
        if resource["Type"] == "AWS::EC2::Route" and "GatewayId" in properties(name)
    }
    private = {
        cast("dict[str, str]", properties(f"PrivateSubnet{which}Routes")["RouteTableId"])["Ref"]
        for which in ("One", "Two")
    }

    assert gateways == {"PublicRoute"}
    assert private == {"PrivateRoutes"}
    assert {properties(name)["DestinationCidrBlock"] for name in ("RouteByGateway", "RouteByInstance")} == {
        "0.0.0.0/0"
    }
    assert RESOURCES["RouteByGateway"]["Condition"] == "ByGateway"
    assert RESOURCES["RouteByInstance"]["Condition"] == "ByInstance"
