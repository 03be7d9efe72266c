"""Sums over pairs: they are those of one float64 product, whatever the parts, and lead to the solution of all rows at once."""

import torch
from many_pairs import plan_of, sample

from irp_hf.maths.inverses.kernel import INTERCEPT
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.many.choosing import path_of, select_from
from irp_hf.maths.many.sums import ROWS, Sums, mirror
from irp_hf.maths.metrics import cosines
from irp_hf.maths.projection import normalize, relative_projection


def summed(source, target, parts=1, **given):
    plan, _ = plan_of(source[:1000], target[:1000], **given)
    found = [Sums(plan) for _ in range(parts)]
    for one, x, y in zip(found, source.tensor_split(parts), target.tensor_split(parts), strict=True):
        one.add(x, y)
    return sum(found[1:], found[0])


def features(plan, source):
    rows = normalize(source, plan.judges.source_stats, plan.lift)
    return relative_projection(rows, plan.landmarks, plan.gamma) + INTERCEPT


def test_a_solve_by_sums_is_that_of_all_rows_in_float64():
    """If it fails, sums of single products have lost what the solution is made of."""
    source, target = sample(3 * ROWS + 17)
    sums = summed(source, target)
    plan, ridge = sums.plan, 1e-3
    rest = ~plan.held(source, target)
    inputs, true = features(plan, source), normalize(target, plan.judges.target_stats)
    own = relative_projection(plan.landmarks, plan.landmarks, plan.gamma) + INTERCEPT
    for which, held in ((rest, False), (torch.ones_like(rest), True)):
        f, y = inputs[which], true[which]
        system = sums.system(own, held)
        assert torch.allclose(system.second, f.T @ f, rtol=1e-6)
        expected = f @ torch.linalg.solve(f.T @ f + ridge * own, f.T @ y)
        assert torch.allclose(f @ system.solve(ridge), expected, atol=1e-4)
        assert float(cosines(f @ system.solve(ridge), expected).min()) > 1 - 1e-6
    assert int(sums.rest.count) == int(rest.sum())


def test_parts_add_up():
    """If it fails, two processes give another adapter than one."""
    source, target = sample(4 * ROWS)
    one, two = summed(source, target), summed(source, target, parts=2)
    for mine, theirs in zip(
        [*one.rest.tensors(), *one.held.tensors()], [*two.rest.tensors(), *two.held.tensors()], strict=True
    ):
        assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_the_size_of_the_parts_changes_rounding_alone():
    """If it fails, what is summed depends on how rows were read."""
    source, target = sample(2 * ROWS)
    one, many = summed(source, target), summed(source, target, parts=37)
    maps = [select_from(sums)[0].fold(sums.plan.judges) for sums in (one, many)]
    rows = normalize(source[:300], one.plan.judges.source_stats, one.plan.lift)
    assert torch.allclose(maps[0](rows), maps[1](rows), atol=1e-4)


def test_the_whitened_inverse_of_sums_is_that_of_all_rows():
    """If it fails, one pass of products gives another whitening than the anchors themselves."""
    source, target = sample(ROWS + 100)
    sums = summed(source, target, methods=("whitened",))
    plan, rest = sums.plan, ~sums.plan.held(source, target)
    x = normalize(source[rest], plan.judges.source_stats, plan.lift)
    y = normalize(target[rest], plan.judges.target_stats)
    for balance in (0.0, 0.5, 1.0):
        path = path_of(sums.rest)
        found = path.directions(path.rotate_source(x), balance, 0.1)
        expected = WhitenedInverse(balance, 0.1, plan.lift).fold(x, y)(x)
        assert torch.allclose(found, expected, atol=1e-9)
    assert not sums.rest.second.numel()


def test_judges_are_judged_without_themselves():
    """If it fails, a score counts rows that the map was fitted on, and promises too much."""
    random = torch.Generator().manual_seed(1)
    source = torch.randn(3000, 12, generator=random, dtype=torch.float64)
    target = torch.randn(3000, 9, generator=random, dtype=torch.float64)  # nothing to be learnt
    for choice in select_from(summed(source, target, landmarks=400, restoration=0.0)):
        assert abs(float(cosines(choice.directions, summed(source, target).plan.judges.target_rows).mean())) < 0.1


def test_the_upper_half_is_mirrored_in_place():
    """If it fails, a large matrix of sums is not symmetric beyond its first block."""
    matrix = torch.randn(2500, 2500, generator=torch.Generator().manual_seed(0))
    upper = matrix.triu()
    mirror(matrix)
    assert torch.equal(matrix, upper + upper.triu(1).T)
