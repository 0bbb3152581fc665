"""The fleet's simulation loses nothing, and would tell if it did."""

from benchmarks import fleet, fleet_page


def test_a_small_fleet_loses_nothing_and_its_page_says_so() -> None:
    found = fleet.measure(4, processes=2, regions=2, seconds=3)
    assert (found.sent, found.missing) == (4 * 2 * 3 + found.alerts, 0)
    assert found.alerts > 0
    page = "\n".join(fleet_page._measured(found))
    assert "every number of every stream arrived" in page


def test_a_number_that_did_not_come_is_counted() -> None:
    consumer = object.__new__(fleet.Consumer)
    consumer.numbers = {"a": [1, 2, 4, 4]}
    assert consumer.missing({"a": 4, "b": 2}) == 3
    assert consumer.twice() == 1
