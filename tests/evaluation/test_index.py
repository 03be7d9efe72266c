"""What an index of N rows keeps: promised from anchors alone, and compared with what comes true."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from evaluation.test_report import report as by_hand
from models.test_cards import config

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning, InputError
from irp_hf.evaluation import Measure, Report
from irp_hf.evaluation.index import IndexReport, IndexShare
from irp_hf.evaluation.printed import WIDTH, number
from irp_hf.evaluation.unequal import unequal_lengths
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.projection import unit_rows
from irp_hf.models.cards import adapter_card

QUIET: dict[str, Any] = {"progress": False, "baselines": []}


def encoded(num_rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Items of 16 hidden traits through two random nonlinear maps, the first of which is noisy."""
    maps, draws = (torch.Generator().manual_seed(seed) for seed in (7, seed))
    traits = torch.randn(num_rows, 16, generator=draws)
    x = torch.tanh(traits @ torch.randn(16, 40, generator=maps) / 3)
    y = torch.tanh(traits @ torch.randn(16, 48, generator=maps) / 3)
    return x + 0.25 * torch.randn(x.shape, generator=draws), y


def kept(adapter: IRPAdapter, source: torch.Tensor, target: torch.Tensor, count: int = 400) -> tuple[float, float]:
    """What the first `count` rows keep as queries among all others, by the use."""
    true, translated = unit_rows(target), unit_rows(adapter.translate(source))
    wanted = (true[:count] @ true[count:].T).topk(NEIGHBORS).indices
    shares = []
    for queries, index in ((translated, true), (true, translated)):
        found = (queries[:count] @ index[count:].T).topk(NEIGHBORS).indices
        shares.append(float((found[:, :, None] == wanted[:, None]).any(2).float().mean()))
    return shares[0], shares[1]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*encoded(320), method="kernel", objective="neighbors")


@pytest.fixture(scope="module")
def few() -> IRPAdapter:
    """For what does not hang on how many anchors there are: all inverses have been tried, and no report tries them again."""
    return IRPAdapter.from_anchors(*encoded(64), objective="neighbors")


@pytest.fixture(scope="module")
def report(adapter: IRPAdapter) -> Report:
    return adapter.report(index_size=[4000, 20], **QUIET)


def of(report: Report, num_rows: int) -> IndexShare:
    assert report.index is not None
    (found,) = (share for share in report.index.shares if share.num_rows == num_rows)
    return found


def inside(measure: Measure, value: float) -> bool:
    return measure.low <= value <= measure.high


def test_what_is_promised_comes_true(adapter: IRPAdapter, report: Report):
    """Somebody would move an index of 4,000 rows for what 320 anchors keep among themselves."""
    source, target = encoded(4400, seed=1)
    promised, true = of(report, 4000), kept(adapter, source, target)
    assert inside(promised.queries, true[0])
    assert inside(promised.moved, true[1])
    assert abs(promised.queries.mean - true[0]) < 0.09
    among_anchors = report.rows[0].evaluation.neighbors
    assert among_anchors.low > promised.queries.mean + 0.05
    assert among_anchors.low > true[0]


def test_rows_that_exist_already_make_it_sharper(adapter: IRPAdapter, report: Report):
    """The gallery would be left unread, or its figures be those of the anchors."""
    source, target = encoded(4400, seed=1)
    with_rows = adapter.report(gallery=target[400:], **QUIET)
    promised, blind = of(with_rows, 4000), of(report, 4000)
    assert inside(promised.queries, kept(adapter, source, target)[0])
    assert promised.queries.high - promised.queries.low < 0.6 * (blind.queries.high - blind.queries.low)
    assert promised.moved == blind.moved  # needs translated rows, which a gallery of the target does not give
    assert with_rows.index is not None
    assert "4,000 rows that were given" in with_rows.index.caption()
    assert max(map(len, with_rows.index.words().splitlines())) <= WIDTH
    assert str(with_rows.index).startswith(with_rows.index.words())
    assert "index translated" in str(with_rows.index)
    assert "cannot be measured on rows of the target alone" in with_rows.index.caption()


@pytest.mark.slow
def test_a_gallery_may_be_of_any_kind(tmp_path: Any):
    """A memory map, half precision or an Arrow column of the very same rows would tell something else, or nothing."""
    adapter = IRPAdapter.from_anchors(*encoded(48))  # it has tried all inverses, and no report tries them again
    rows = encoded(300, seed=2)[1].half().numpy()
    np.save(tmp_path / "rows.npy", rows)
    kinds = [
        rows,
        torch.from_numpy(rows).float(),
        np.load(tmp_path / "rows.npy", mmap_mode="r"),
        pa.array(list(rows.astype(np.float32))),
        rows.astype(np.float64).tolist(),
    ]
    found = [adapter.report(gallery=kind, **QUIET).index for kind in kinds]
    assert all(one == found[0] for one in found)


@pytest.mark.slow
def test_an_anchor_is_no_neighbour_of_itself(adapter: IRPAdapter, report: Report):
    """Anchors are drawn from the index: each would find itself, which a new query cannot."""
    rows = encoded(320)[1]
    among = adapter.report(gallery=torch.cat([rows, rows]).half(), **QUIET)
    own = report.rows[0].evaluation.neighbors
    assert of(among, 640).queries.mean < own.mean  # with itself found: .683, and .568 without


@pytest.mark.parametrize("options", [{"method": "whitened"}, {"method": "pruned"}, {"num_landmarks": 40}])
def test_every_inverse_tells(options: dict[str, Any]):
    """An inverse without a closed form would have no such figure."""
    adapter = IRPAdapter.from_anchors(*encoded(60), **{"method": "kernel", **options})
    share = of(adapter.report(index_size=1000, **QUIET), 1000)
    assert 0 < share.queries.low < share.queries.mean < share.queries.high < 1


@pytest.mark.slow
def test_rows_that_share_an_item_are_no_neighbours():
    """With each item twice, every row would keep its copy, whatever the inverse does."""
    once, twice = encoded(60), [side.repeat_interleave(2, 0) for side in encoded(60)]
    noise = 0.01 * torch.randn(twice[1].shape, generator=torch.Generator().manual_seed(3))
    adapters = [IRPAdapter.from_anchors(x, y, method="kernel") for x, y in (once, (twice[0], twice[1] + noise))]
    one, two = (of(adapter.report(index_size=50, **QUIET), 50) for adapter in adapters)
    assert two.queries.mean < one.queries.mean + 0.1


def with_row(number: int, value: float) -> np.ndarray:
    """A gallery one of whose rows has one number throughout."""
    rows = encoded(100, seed=5)[1].numpy()
    rows[number] = value
    return rows


STRANGERS = {
    "noise": lambda rows: 50 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(6)),
    "uniform": lambda rows: torch.rand(rows.shape, generator=torch.Generator().manual_seed(6)),
    "another encoder": lambda rows: torch.tanh(rows @ torch.randn(48, 48, generator=torch.Generator().manual_seed(6))),
    "shuffled coordinates": lambda rows: rows[:, torch.randperm(48, generator=torch.Generator().manual_seed(6))],
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_rows_that_no_target_gave_are_told(few: IRPAdapter, change: Any):
    """A table of another encoder's vectors, or of noise, would be measured like an index of the target."""
    rows = change(encoded(400, seed=2)[1])
    with pytest.warns(FitWarning, match="lie where the target's anchors do not") as caught:
        found = few.report(gallery=rows, **QUIET)
    assert caught[0].filename == __file__
    words = str(caught[0].message)
    assert " ".join(str(found).split()).count(words) == 1
    assert " ".join(found.index.words().split()).startswith(words)
    assert Report.from_dict(found.to_dict()) == found


def half(change: Any, rows: torch.Tensor) -> torch.Tensor:
    """One row in two, here and there, as it should be."""
    return torch.where(torch.arange(len(rows))[:, None] % 2 == 0, rows, change(rows))


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_a_part_of_the_rows_that_no_target_gave_is_told(few: IRPAdapter, change: Any):
    """Half of them in another order of coordinates passed, since the other half held the mean up."""
    rows = half(change, encoded(400, seed=2)[1])
    with pytest.warns(FitWarning, match=r"gallery's rows.* lie where the target's anchors do not") as caught:
        few.report(gallery=rows, **QUIET)
    if found := re.search(r"row ([\d,]+) for one", str(caught[0].message)):
        assert int(found[1]) % 2


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_rows_of_the_target_are_not_doubted(few: IRPAdapter):
    """A warning that always comes is never read: the target's own rows, at unit length, of one kind only, few of them."""
    rows = encoded(400, seed=2)[1]
    near = (unit_rows(rows) @ unit_rows(rows)[0]).topk(60).indices
    for gallery in (rows, unit_rows(rows).half(), rows[near], rows[:12]):
        few.report(gallery=gallery, **QUIET)


def of_unequal_length(rows: torch.Tensor) -> torch.Tensor:
    """The same directions, the longest ten times as long as the shortest."""
    return (
        rows
        * torch.linspace(0.3, 3, len(rows))[torch.randperm(len(rows), generator=torch.Generator().manual_seed(6))][
            :, None
        ]
    )


@pytest.mark.slow
def test_lengths_by_which_other_measures_find_others_are_told(few: IRPAdapter):
    """What is kept by cosine would be promised for an index by inner product or L2, which keeps far less of it."""
    source, target = encoded(64)
    unequal = IRPAdapter.from_anchors(source, of_unequal_length(target), objective="neighbors")
    rows = of_unequal_length(encoded(400, seed=2)[1])
    for one, options in ((unequal, {"index_size": 4000}), (few, {"gallery": rows})):
        with pytest.warns(
            FitWarning, match="find.* of an index, which is by cosine, does not hold for one by these"
        ) as caught:
            found = one.report(**options, **QUIET)
        assert caught[0].filename == __file__
        words = str(caught[0].message)
        assert words.startswith("The gallery's rows" if "gallery" in options else "The target's anchors")
        assert "to unit length, translated ones too" in words
        assert " ".join(str(found).split()).count(words) == 1
        assert " ".join(found.index.words().split()).startswith(words)
        assert Report.from_dict(found.to_dict()) == found


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_gallery_of_unit_length_is_not_doubted_for_its_anchors():
    """Who normalises the index as advised would be told to do so."""
    source, target = encoded(64)
    unequal = IRPAdapter.from_anchors(source, of_unequal_length(target))
    rows = unit_rows(of_unequal_length(target))
    for gallery in (rows, rows.half(), rows.repeat(3, 1)):
        unequal.report(gallery=gallery, **QUIET)


def test_other_measures_are_compared_with_the_cosine_as_a_slow_reference_has_it():
    """The figures of the warning would be of other neighbours, or copies in a table raise an alarm."""
    rows = of_unequal_length(encoded(90, seed=3)[1]).double()
    (doubt,) = unequal_lengths(rows, "These")
    unit = rows / rows.norm(dim=1, keepdim=True)

    def nearest(similar) -> list[set[int]]:
        return [set(sorted({*range(90)} - {row}, key=lambda other: -similar(row, other))[:10]) for row in range(90)]

    wanted = nearest(lambda one, other: float(unit[one] @ unit[other]))
    for name, similar in (
        ("inner product", lambda one, other: float(rows[one] @ rows[other])),
        ("L2", lambda one, other: -float((rows[one] - rows[other]).norm())),
    ):
        share = np.mean([len(a & b) / 10 for a, b in zip(nearest(similar), wanted, strict=True)])
        assert f"{name} " + ("finds " if name != "L2" else "") + number(float(share)) in doubt.words
    for equal in (unit, unit.repeat(3, 1), 5 * unit, unit.half(), rows[:11], torch.ones(50, 48)):
        assert unequal_lengths(equal, "These") == []


def test_it_is_said_that_shares_are_by_cosine(report: Report):
    """Whoever has an index by inner product would take the promise for his."""
    assert "of the ten nearest neighbours by cosine" in " ".join(str(report).split())
    assert "ten nearest neighbours by cosine" in " ".join(report.index.words().split())
    assert "By inner product or L2 that holds for vectors of unit length" in report.to_markdown()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index_size": 0}, ["index_size", "at least 12", "from 12", "got 0"]),
        ({"index_size": -5}, ["index_size", "got -5"]),
        ({"index_size": 11}, ["index_size", "got 11"]),
        ({"index_size": True}, ["index_size", "got True"]),
        ({"index_size": 1e4}, ["index_size", "whole number", "got 10000.0"]),
        ({"index_size": 10**30}, ["index_size"]),
        ({"index_size": []}, ["index_size", "at least 1 value", "got 0"]),
        ({"index_size": [100, None]}, ["index_size", "got None"]),
        ({"index_size": "5000"}, ["index_size", "whole number from 12", "got '5000'"]),
        ({"index_size": "many"}, ["index_size", "whole number from 12", "got 'many'"]),
        ({"index_size": b"5000"}, ["index_size", "whole number from 12", "got b'5000'"]),
        ({"index_size": ["many"]}, ["index_size", "whole number from 12", "got 'many'"]),
        ({"index_size": float("nan")}, ["index_size", "whole number", "got nan"]),
        ({"index_size": float("inf")}, ["index_size", "whole number", "got inf"]),
        ({"index_size": 10**5000}, ["index_size", "whole number"]),
        ({"gallery": np.ones((100, 47), np.float32)}, ["gallery", "width 48", "width 47"]),
        ({"gallery": np.full((100, 48), np.nan, np.float32)}, ["Row 0 of gallery", "NaN"]),
        ({"gallery": np.ones((1, 48), np.float32)}, ["gallery", "at least 12 rows", "got 1"]),
        ({"gallery": np.ones((0, 48), np.float32)}, ["gallery", "at least one row"]),
        ({"gallery": np.ones(48, np.float32)}, ["gallery", "a matrix"]),
        ({"gallery": np.ones((100, 48), int)}, ["gallery", "dtype"]),
        ({"gallery": with_row(37, 0.0)}, ["Row 37 of gallery", "a vector of the target", "zeros"]),
        ({"gallery": with_row(99, 50.0)}, ["Row 99 of gallery", "a vector of the target", "50 in each place"]),
        ({"gallery": np.zeros((9000, 48), np.float32)}, ["Row 0 of gallery", "zeros"]),
        (
            {"gallery": np.outer(np.arange(1, 101), np.arange(1.0, 49))},
            ["rows that differ", "100 with the direction of row 0"],
        ),
        ({"gallery": "vectors.npy"}, ["gallery", "vectors"]),
        ({"gallery": torch.ones(100, 48, device="meta")}, ["gallery", "meta"]),
    ],
)
def test_what_is_no_index_is_refused_at_once(
    refusal: Any, adapter: IRPAdapter, capsys: Any, options: dict[str, Any], words: list[str]
):
    """A minute of measuring would end in an error of some library, or in a figure for no index."""
    text = refusal(adapter.report, progress=True, error=InputError, **options)
    assert all(word in text for word in words), text
    assert "Trying the inverses" not in capsys.readouterr().err


def test_too_few_anchors_are_refused(refusal: Any):
    """A quarter of 30 anchors is no pool."""
    few = IRPAdapter.from_anchors(*encoded(30), method="kernel")
    text = refusal(few.report, index_size=1000, error=InputError)
    assert "48" in text
    assert "30" in text


def index() -> IndexReport:
    def share(size: int, mean: float, width: float) -> IndexShare:
        return IndexShare(size, Measure(mean, mean - width, mean + width), Measure(mean / 2, mean / 4, mean))

    curve = tuple(share(size, mean, 0.03) for size, mean in ((48, 0.6), (500, 0.5), (5000, 0.4), (60_000, 0.3)))
    return IndexReport((share(5000, 0.4, 0.03), share(60_000, 0.3, 0.11)), curve, 75)


def test_it_is_said_wherever_a_report_is_shown():
    """A card or a notebook would lack what the terminal shows."""
    found = replace(by_hand(), index=index())
    for text in (str(found), found.to_markdown(), found._repr_html_(), str(adapter_card(config(), "me/x", found))):
        for said in ("5,000", ".400 (.370 to .430)", ".150 (.075 to .300)", "queries translated", "index translated"):
            assert said in text
        assert "report(index_size=)" not in text
        flat = " ".join(text.split())
        assert "searched up to 75 of themselves, which tells of 750 rows; more is extrapolated" in flat
        assert "The interval for 5,000 rows is too wide to plan by" in flat
    assert all(len(line) <= WIDTH for line in str(found).splitlines())
    assert "report(index_size=)" in by_hand().to_markdown()


def test_what_few_anchors_tell_of_a_gallery_is_said_to_be_too_low():
    """With 60 to 120 anchors every second interval lay below the truth, and a report without a gallery was right."""
    found = replace(index(), gallery=3000)
    assert "is often too low" in found.caption()
    assert "is often too low" not in index().caption()
    assert "is often too low" not in replace(found, searched=100).caption()


def test_it_is_drawn_dashed_where_it_is_extrapolated():
    """A guess would look like a measurement."""
    axes = replace(by_hand(), index=index()).plot().axes[-1]
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    assert lines["queries translated"] == [48, 500]
    dashed = [line for line in axes.get_lines() if line.is_dashed()]
    assert [list(line.get_xdata()) for line in dashed] == [[500, 5000, 60_000]] * 2
    assert len(by_hand().plot().axes) == 3


def test_it_is_kept_with_the_report(report: Report):
    """A published card could not be drawn again; a report from before would no longer load."""
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    plain = by_hand().to_dict()
    del plain["index"]
    assert Report.from_dict(plain) == by_hand()


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["shares"].reverse(),
        lambda plain: plain["shares"].clear(),
        lambda plain: plain["curve"][0].update(num_rows=-1),
        lambda plain: plain["shares"][0]["queries"].update(mean=2.0),
        lambda plain: plain["shares"][0]["moved"].update(low=0.9),
        lambda plain: plain["shares"][0].update(queries=None),
        lambda plain: plain.update(searched=0),
        lambda plain: plain.update(gallery=-3),
        lambda plain: plain.update(more=1),
        lambda plain: plain.update(weight=0.5),
        lambda plain: plain["curve"][0].update(nothing=plain["curve"][0]["moved"]),
    ],
)
def test_what_cannot_be_true_is_not_read(refusal: Any, change: Any):
    """A card of a stranger would promise 200 % of the neighbours."""
    plain = replace(by_hand(), index=index()).to_dict()
    change(plain["index"])
    assert "index" in refusal(Report.from_dict, plain, error=InputError)
