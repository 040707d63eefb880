"""What the documents say of the code is generated from it, or held against it."""

from tools import reliability


def test_reliability_document_is_generated_from_the_state_machine_and_the_tests() -> None:
    text = reliability.DOCUMENT.read_text()

    assert text == reliability.generate(text), "run `python -m tools.reliability`"


def test_every_scenario_has_a_test() -> None:
    scenarios = {int(number) for number, _ in reliability.ROW.findall(reliability.DOCUMENT.read_text())}

    assert scenarios == set(range(1, 45)) - {16}
    assert scenarios <= set(reliability.tests())
