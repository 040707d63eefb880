"""Documents: each statement about the code is generated from it, or held against it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from recorder import settings
from tests.support.template import evaluated, section
from tools import bill, reliability

README = (Path(__file__).parents[2] / "README.md").read_text()


class Recording(Mapping[str, str]):
    """An environment that answers everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        valid = {
            "DATABASE_AUTHENTICATION": "password",
            "DATABASE_TLS": "verify",
            "SAFETY_SEGMENTS": "on",
            "POSTER": "on",
            "WEB_RECORDING_ORIGINS": "https://app.example.com",
        }
        return valid.get(name, "1")

    def __iter__(self) -> Iterator[str]:
        return iter(self.asked)

    def __len__(self) -> int:
        return len(self.asked)


def variables_read() -> set[str]:
    environment = Recording()
    for kind in vars(settings).values():
        if hasattr(kind, "from_environment"):
            kind.from_environment(environment)
    settings.policy_from_environment(environment)
    return environment.asked


def test_reliability_document_is_generated_from_the_state_machine_and_the_tests() -> None:
    text = reliability.DOCUMENT.read_text()

    assert text == reliability.generate(text), "run `python -m tools.reliability`"


def test_the_bill_is_computed_of_what_the_template_makes() -> None:
    text = bill.DOCUMENT.read_text()
    alarms = [*evaluated().select("AWS::CloudWatch::Alarm")]

    assert text == bill.generate(text), "run `python -m tools.bill`"
    assert len(alarms) == bill.ALARMS


def test_the_deploy_document_explains_the_twelve_questions_in_their_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    table = text.partition("| question | your answer |")[2].partition("\n\n")[0]
    interface = section("Metadata")["AWS::CloudFormation::Interface"]
    [first, *_] = cast("list[dict[str, list[str]]]", interface["ParameterGroups"])

    asked = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert asked == first["Parameters"]


def test_every_scenario_has_a_test() -> None:
    scenarios = {int(number) for number, _ in reliability.ROW.findall(reliability.DOCUMENT.read_text())}

    assert set(range(1, 45)) - {16} <= scenarios
    assert scenarios <= set(reliability.tests())


def test_readme_documents_exactly_the_settings_that_are_read() -> None:
    documented = set(
        re.findall(r"`([A-Z][A-Z0-9_]+)`", "".join(re.findall(r"^\| (`[A-Z].*?) \|", README, re.MULTILINE)))
    )

    assert documented == variables_read()
