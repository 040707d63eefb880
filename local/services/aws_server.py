"""MiniStack, with the one resource of template.yaml that its CloudFormation lacks: `AWS::IAM::AccessKey`.

Run as a script by the environment that has MiniStack; nothing of ours can be imported here.
"""

from __future__ import annotations

from ministack.app import main
from ministack.services import iam
from ministack.services.cloudformation import provisioners


def _create(_logical_id: str, properties: dict[str, str], _stack: str) -> tuple[str, dict[str, str]]:
    known = set(iam._access_keys)  # noqa: SLF001 - the account's keys
    iam._create_access_key({"UserName": [properties["UserName"]]})  # noqa: SLF001 - as IAM's API calls it
    [key] = set(iam._access_keys) - known  # noqa: SLF001
    return key, {"SecretAccessKey": iam._access_keys[key]["SecretAccessKey"]}  # noqa: SLF001


def _delete(key: str, _properties: dict[str, str]) -> None:
    iam._access_keys.pop(key, None)  # noqa: SLF001


provisioners._RESOURCE_HANDLERS["AWS::IAM::AccessKey"] = {"create": _create, "delete": _delete}  # noqa: SLF001
main()
