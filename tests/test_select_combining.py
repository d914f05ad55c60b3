"""Which candidates are tried together."""

from types import SimpleNamespace

from udesys.model import tree as T
from udesys.search.candidate import make_candidate
from udesys.select.combining import MOST_TOGETHER, joint_starts, leaders, near_choices

X, Y = T.Symbol("x"), T.Symbol("y")
FORMS = {"x": [X], "y": [Y], "xy": [T.mul(X, Y)], "x+y": [X, Y], "x+xy": [X, T.mul(X, Y)], "1": [T.ONE]}


def candidate(name, score):
    terms = FORMS[name]
    return make_candidate(terms, [1.0] * len(terms), loss=1.0, score=score, engine="test")


def pool(*names):
    return [candidate(name, float(k)) for k, name in enumerate(names)]


def test_leaders_hold_the_best_of_each_size_even_behind_many_larger_ones():
    crowded = pool("x+y", "x+xy", "x", "1")
    assert [c.key for c in leaders(crowded, (1,))][:2] == ["x", "1"]
    assert {c.key for c in leaders(crowded)} == {"x + y", "x + x*y", "x", "1"}


def test_the_form_that_all_terms_share_is_tried_though_none_leads_with_it():
    pools = {"A": pool("x", "y", "1", "xy"), "B": pool("y", "1", "x", "x+y", "xy")}
    tried = [tuple(c.key for c in choice.values()) for choice in joint_starts(pools)]
    assert ("x*y", "x*y") in tried
    assert tried[0] == ("x", "y")


def test_many_terms_do_not_make_too_many_combinations():
    pools = {f"N{k}": pool("x", "y", "xy", "x+y", "x+xy", "1") for k in range(8)}
    assert MOST_TOGETHER <= len(list(joint_starts(pools))) <= MOST_TOGETHER + 8


def test_near_alternatives_of_single_terms_are_put_together():
    def ranked(a, b, criterion):
        return SimpleNamespace(choice={"A": candidate(a, 0.0), "B": candidate(b, 0.0)}, criterion=criterion)

    best = ranked("x", "y", 0.0)
    seen = [best, ranked("xy", "y", 2.0), ranked("x", "1", 3.0), ranked("x+y", "y", 50.0)]
    tried = [tuple(c.key for c in choice.values()) for choice in near_choices(best, seen, 8.0)]
    assert ("x*y", "1") in tried
    assert not any("x + y" in pair for pair in tried)
