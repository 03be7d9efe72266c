"""Single tensors of a file on the Hub: the right bytes, in few requests; whatever is wrong there is refused."""

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import Hub
from hub_server.start import HOME
from safetensors.torch import save_file
from torch import Tensor

from irp_hf.checkpoints.limits import WEIGHTS
from irp_hf.checkpoints.repository import Repository
from irp_hf.checkpoints.tensors import FIRST, GAP, read_tensors, stored_tensors
from irp_hf.errors import HubError, InputError

NUMBERS = {  # how many each tensor of float32 holds, in the order in which they lie
    "a.filler": FIRST // 4,  # what follows is not among the first bytes
    "b.weight": 300,
    "c.bias": 5,
    "d.filler": GAP // 4,
    "e.weight": 200,
    "f.filler": GAP // 4 + 1,
    "g.weight": 100,
}


def values(numbers: dict[str, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(count, generator=generator) for name, count in numbers.items()}


def packed(tensors: dict[str, Tensor], **lies: Any) -> bytes:
    """A safetensors file with the tensors one after the other, and with other entries in its header where they are given."""
    header: dict[str, Any] = {}
    place = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [place, place + 4 * len(tensor)]}
        place += 4 * len(tensor)
    text = json.dumps(header | lies).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(tensor.numpy().tobytes() for tensor in tensors.values())


def upload(hub: Hub, content: bytes) -> Repository:
    """A repository of that one file, and no request yet."""
    commit = hub.upload("me/x", {WEIGHTS: content})
    hub.requests.clear()
    return Repository("me/x", commit, modular=False, online=True)


def read(repository: Repository, *names: str, numbers: dict[str, int] = NUMBERS) -> dict[str, Tensor] | None:
    return read_tensors(repository, WEIGHTS, {name: (numbers[name],) for name in names}, None)


def answers(hub: Hub) -> list[int]:
    """The bytes of each answer that carried a part of the file."""
    return [request.sent for request in hub.requests if request.file and request.method == "GET"]


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (["b.weight", "c.bias"], [FIRST, 1220]),  # they touch
        (["c.bias", "e.weight"], [FIRST, 20 + GAP + 800]),  # they nearly do
        (["e.weight", "c.bias", "b.weight"], [FIRST, 1220 + GAP + 800]),  # whatever the order
        (["e.weight", "g.weight"], [FIRST, 800, 400]),  # a request costs less than what lies between
        (["b.weight", "no.such"], [FIRST, 1200]),
        (["no.such"], [FIRST]),
        ([], [FIRST]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_neighbours_come_in_one_request(hub: Hub, names: list[str], sizes: list[int]) -> None:
    """Each tensor would wait for an answer of its own, and a head of a large model for the bytes of its backbone."""
    tensors = values(NUMBERS)
    found = read(upload(hub, packed(tensors)), *names, numbers={**NUMBERS, "no.such": 3})
    assert found is not None
    assert {*found} == {*names} & {*NUMBERS}
    assert all(torch.equal(found[name], tensors[name]) for name in found)
    assert answers(hub) == sizes
    assert not any(request.token for request in hub.requests if request.storage)


def test_a_small_file_comes_whole(hub: Hub) -> None:
    """Bytes behind its end would be asked for, and the answer refused."""
    numbers = {"a": 10, "b": 20, "c": 0}
    content = packed(values(numbers))
    found = read(upload(hub, content), "b", "c", numbers=numbers)
    assert found is not None
    assert torch.equal(found["b"], values(numbers)["b"])
    assert found["c"].shape == (0,)
    assert answers(hub) == [len(content)]


def test_a_header_longer_than_what_is_asked_for_first(hub: Hub) -> None:
    """The head of a model of thousands of tensors could not be read."""
    numbers = {f"{'long.' * 20}{i}": 2 for i in range(1000)}
    tensors = values(numbers)
    content = packed(tensors)
    (length,) = struct.unpack("<Q", content[:8])
    names = list(numbers)[500:502]
    found = read(upload(hub, content), *names, numbers=numbers)
    assert found is not None
    assert all(torch.equal(found[name], tensors[name]) for name in names)
    assert answers(hub) == [FIRST, 8 + length - FIRST, 16]


def test_any_choice_of_tensors_is_read(hub: Hub) -> None:
    """Bytes of a neighbour would be taken for a tensor's own."""
    numbers = {f"{i:02}": int(n) for i, n in enumerate(np.random.default_rng(0).integers(1, GAP // 2, 12))}
    tensors = values(numbers)
    repository = upload(hub, packed(tensors))
    for names in itertools.combinations(numbers, 2):
        found = read(repository, *names, numbers=numbers)
        assert found is not None
        assert all(torch.equal(found[name], tensors[name]) for name in names)
    assert max(answers(hub)) <= FIRST + GAP + 8 * GAP


def test_a_file_that_is_not_there(hub: Hub) -> None:
    """Shards are looked for where there is no single file."""
    repository = upload(hub, b"")
    assert read_tensors(repository, "other.safetensors", {"a": (1,)}, None) is None


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "0 bytes"),
        (b"1234", "4 bytes"),
        (struct.pack("<Q", 2**40) + b"{}", f"{2**40} bytes long"),
        (struct.pack("<Q", 3) + b"{]}", "no JSON"),
        (struct.pack("<Q", 2) + b"[]", "a list"),
    ],
    ids=["empty", "length", "long", "JSON", "list"],
)
def test_headers_that_are_none(hub: Hub, content: bytes, got: str, refusal: Any) -> None:
    """Lengths of a stranger would be fetched, and fill the memory."""
    text = refusal(read, upload(hub, content), "b.weight", error=InputError)
    assert text.startswith("model.safetensors of me/x: ")
    assert got in text


ENTRY = {"dtype": "F32", "shape": [300], "data_offsets": [0, 1200]}


@pytest.mark.parametrize(
    "lie",
    [
        3,
        {},
        ENTRY | {"data_offsets": [0, 10**9]},
        ENTRY | {"data_offsets": [-4, 1196]},
        ENTRY | {"data_offsets": [1200, 0]},
        ENTRY | {"data_offsets": [0.0, 1200.0]},
        ENTRY | {"data_offsets": [True, 1200]},
        ENTRY | {"data_offsets": [0, 100_000]},  # far more than its shape takes
        ENTRY | {"data_offsets": [0, 1199]},
        ENTRY | {"dtype": "F99"},
        ENTRY | {"shape": None},
    ],
    ids=str,
)
def test_entries_that_lie(hub: Hub, lie: Any, refusal: Any) -> None:
    """Other bytes would become the head, or as many be fetched as a stranger likes."""
    text = refusal(read, upload(hub, packed(values(NUMBERS), **{"b.weight": lie})), "b.weight", error=InputError)
    assert text.startswith("model.safetensors of me/x: ")


def test_another_shape(hub: Hub, refusal: Any) -> None:
    """Labels would go to the wrong scores; and it is refused before the tensor is fetched."""
    repository = upload(hub, packed(values(NUMBERS)))
    text = refusal(read, repository, "b.weight", numbers={"b.weight": 301}, error=InputError)
    for words in ("b.weight of me/x", "(301,)", "(300,)"):
        assert words in text
    assert answers(hub) == [FIRST]


SHAPES = {"b.weight": (300,), "c.bias": (5,)}


def test_what_was_read_is_kept(hub: Hub) -> None:
    """A head that was used yesterday would not open on a train; and one that was kept in halves would be opened."""
    tensors = values(NUMBERS)
    repository = upload(hub, packed(tensors))

    def check() -> None:
        found = stored_tensors(repository, SHAPES, None)
        assert found is not None
        assert {*found} == {*SHAPES}
        assert all(torch.equal(found[name], tensors[name]) for name in SHAPES)

    check()
    asked = len(hub.requests)
    with hub.down():
        check()
    assert len(hub.requests) == asked
    (kept,) = (HOME / "assets").rglob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-8])
    check()
    assert len(hub.requests) > asked


def test_what_was_never_read_and_cannot_be(hub: Hub, refusal: Any) -> None:
    """It would be taken for a file without these tensors, and the whole model be asked for."""
    online = upload(hub, packed(values(NUMBERS)))
    offline = Repository(online.path, online.commit, modular=False, online=False)
    assert "the Hub cannot be reached" in refusal(stored_tensors, offline, SHAPES, None, error=HubError)


def test_tensors_under_other_names(hub: Hub, tmp_path: Path) -> None:
    """Half of a head would be opened."""
    tensors = values(NUMBERS)
    save_file(tensors, tmp_path / WEIGHTS)
    for repository in (upload(hub, packed(tensors)), Repository(str(tmp_path), None, modular=False)):
        assert stored_tensors(repository, SHAPES | {"no.such": (3,)}, None) is None
