"""The choice for inputs unlike the anchors: what is best on clusters that are left out whole, by fits made anew."""

import pytest
import torch
from synthetic_pairs import pairs

from irp_hf.errors import InputError
from irp_hf.maths.clusters import clusters_of
from irp_hf.maths.elsewhere import choose, left_out, settings_of
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select


def clumps(seed: int = 0, size: int = 12) -> Pairs:
    """Tight clumps of sources, of which a map is linear: among like rows locality helps, elsewhere it has nothing."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(10, 8, generator=random).double()
    rows = centres.repeat_interleave(size, 0) + 0.3 * torch.randn(10 * size, 8, generator=random).double()
    turned = torch.linalg.qr(torch.randn(8, 8, generator=random).double()).Q
    own = 0.6 * torch.randn(10, 8, generator=random).double().repeat_interleave(size, 0)  # what each clump alone has
    return Pairs(rows, rows @ turned + own)


def kept(choice, found: Pairs) -> float:
    return float(cosines(left_out(choice, found, clusters_of(found, 0)), found.target).mean())


@pytest.mark.parametrize("objective", ["cosine", "neighbors", "recall", "agreement"])
def test_what_is_best_on_clusters_is_chosen(objective: str):
    """Rows would choose a kernel so local that of other inputs it knows only the mean."""
    found = clumps()

    def labels(y: torch.Tensor) -> torch.Tensor:
        return (y[:, 0] > 0).long()

    methods = tuple(INVERSES)
    by_rows = choose(found, methods, objective, Given(), labels)
    by_clusters = choose(found, methods, objective, Given(folds="clusters"), labels)
    assert {one.method for one in by_clusters} == {*methods}
    if objective == "cosine":
        assert kept(by_clusters[0], found) > kept(by_rows[0], found) + 0.005
        best = [kept(one, found) for one in by_clusters]
        assert best == sorted(best, reverse=True)
    again = choose(found, methods, objective, Given(folds="clusters"), labels)
    assert [(one.inverse, one.restoration) for one in again] == [(one.inverse, one.restoration) for one in by_clusters]


def test_scores_stay_those_of_single_rows():
    """The score in a card and the confidence would be those of other inputs than the anchors'."""
    found = clumps(1)
    choice = choose(found, ("kernel",), "cosine", Given(folds="clusters"), None)[0]
    (plain,) = select(found, ("kernel",), given=settings_of(choice, Given()))
    assert choice.score == pytest.approx(plain.score, abs=1e-9)
    assert torch.allclose(choice.translated, plain.translated, atol=1e-9)


def test_what_was_fixed_stays_fixed():
    """An option that was given would be lost on the way through the clusters."""
    given = Given(folds="clusters", gamma=0.7, lift=0.0, restoration=1.0)
    choice = choose(clumps(2), ("kernel",), "cosine", given, None)[0]
    assert (choice.inverse.gamma, choice.inverse.lift, choice.restoration) == (0.7, 0.0, 1.0)
    landmarks = choose(clumps(2), ("kernel",), "cosine", Given(folds="clusters", num_landmarks=15), None)[0]
    assert landmarks.inverse.num_landmarks == 15


def test_left_out_rows_have_no_part_in_their_translation():
    """The mean and the scale of all would tell of the cluster that is held out."""
    found, _ = pairs(0, 90, 7, 5)
    (choice,) = select(found, ("whitened",), given=Given(restoration=0.0, lift=0.0, ridge=0.1, balance=1.0))
    cluster = clusters_of(found, 0)[0]
    moved = found.target.clone()
    moved[cluster] = moved[cluster].flip(0) * 3 + 5
    translated = left_out(choice, Pairs(found.source, moved), [cluster])
    assert torch.allclose(translated[cluster], left_out(choice, found, [cluster])[cluster], atol=1e-12)


def test_too_few_anchors_are_refused():
    """A choice on single rows would pass for one on clusters."""
    few, _ = pairs(0, 9, 4, 3)
    with pytest.raises(InputError, match="at least 10 independent anchors") as error:
        choose(few, ("kernel",), "cosine", Given(folds="clusters"), None)
    assert "9" in str(error.value)
