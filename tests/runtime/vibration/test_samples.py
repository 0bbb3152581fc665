"""The newest rows in a table that does not grow."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.vibration.samples import Samples


@given(
    steps=st.lists(st.integers(-3, 9), max_size=400),
    kept_ns=st.integers(1, 60),
    most=st.integers(1, 90),
)
def test_it_keeps_what_a_plain_list_would(steps: list[int], kept_ns: int, most: int) -> None:
    samples = Samples(2, kept_ns, most)
    plain: list[tuple[int, tuple[float, float]]] = []
    t_ns = 10**18  # beyond what a float tells apart
    for number, step in enumerate(steps):
        t_ns += step
        if plain and t_ns <= plain[-1][0]:
            plain.clear()
        plain.append((t_ns, (float(number), -float(number))))
        plain = [row for row in plain if t_ns - row[0] <= kept_ns][-most:]
        samples.append(t_ns, plain[-1][1])
        assert len(samples) == len(plain)
        found_ns, values = samples.newest(kept_ns)
        assert (
            list(zip(found_ns.tolist(), zip(*values.tolist(), strict=True), strict=True)) == plain
        )
    found_ns, _ = samples.newest(kept_ns // 2)
    assert found_ns.tolist() == [row[0] for row in plain if t_ns - row[0] <= kept_ns // 2]


def test_its_memory_does_not_grow() -> None:
    samples = Samples(1, 1000, 50)
    for t_ns in range(100_000):
        samples.append(t_ns, (0.0,))
    held = {id(samples._values): samples._values.nbytes}
    assert max(held.values()) <= 8 * 4 * 50 * 2
