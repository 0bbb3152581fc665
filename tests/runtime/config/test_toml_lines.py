"""Which line of a TOML file a key stands in."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.config.toml_lines import key_lines, nearest_line


def test_lines_are_found_through_every_kind_of_toml() -> None:
    text = '''\
title = "a # not a comment" # [not.a.table]
list = [
  1, # one
  { k = 1, "quoted key" = [ [2], [] ] },
]
multi = """
[not_a_table]
x = 1 \\"""
"""
raw = \'\'\'
y = 2\'\'\'
a.b."c.d" = 1979-05-27 07:32:00
[t . u]
z = { }
[[r]]
n = 1
[[r]]
n = 2
[r.sub]
deep = -1.5e3
[[r.items]]
[[r.items]]
last = ']'
'''
    lines = key_lines(text)
    expected = {
        ("title",): 1,
        ("list",): 2,
        ("list", 0): 3,
        ("list", 1): 4,
        ("list", 1, "k"): 4,
        ("list", 1, "quoted key", 0): 4,
        ("multi",): 6,
        ("raw",): 10,
        ("a", "b", "c.d"): 12,
        ("t", "u"): 13,
        ("t", "u", "z"): 14,
        ("r", 0): 15,
        ("r", 0, "n"): 16,
        ("r", 1): 17,
        ("r", 1, "n"): 18,
        ("r", 1, "sub", "deep"): 20,
        ("r", 1, "items", 0): 21,
        ("r", 1, "items", 1, "last"): 23,
    }
    assert {key: lines[key] for key in expected} == expected
    assert ("not_a_table",) not in lines
    assert nearest_line(lines, ("r", 1, "missing")) == 17
    assert nearest_line(lines, ("nowhere",)) is None


SCALARS = st.sampled_from(['"s"', "'l,]'", "1", "-2.5", "true", '"""m\n#"""', "'''\n]'''"])


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=3).map(lambda items: f"[\n # c]\n{','.join(items)}\n]")
        | inner.map(lambda item: f"{{ k = {item} }}")
    ),
    max_leaves=6,
)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_the_line_of_a_key_does_not_depend_on_the_values_before_it(values: list[str]) -> None:
    text = "".join(f"k{number} = {value}\n" for number, value in enumerate(values))
    text += "end = 1\n"
    lines = key_lines(text)
    assert lines[("end",)] == text.count("\n")
    assert [key for key in lines if len(key) == 1] == [
        *((f"k{number}",) for number in range(len(values))),
        ("end",),
    ]
