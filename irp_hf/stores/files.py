"""What stores in files share: a digest that a change of a file changes, and a destination that is one new file."""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import abstractmethod
from pathlib import Path

from typing_extensions import override

from irp_hf.disk.atomic import written_file
from irp_hf.disk.places import check_path, is_folder, sync, written_in_words
from irp_hf.disk.plain import check_own_file, read_text
from irp_hf.errors import InputError, refusal, shown
from irp_hf.stores.address import Address
from irp_hf.stores.base import Plan, Store
from irp_hf.stores.record import LONGEST, StoreRecord
from irp_hf.stores.staging import GO_ON, MADE, StagedWriter, is_done

SIDECAR = ".irp.json"
"""What the name of a file ends with that holds the record of a file beside it that has no room for one."""


def changed_meanwhile(place: object) -> InputError:
    """The error for a store that is no more what it was when it was opened."""
    expected, got = "the same store as when it was opened", "one that was changed meanwhile"
    return refusal(str(place), expected, got, "Begin again, while nobody else writes to it.")


def digest_of_files(files: list[Path]) -> str:
    """Of the sizes of files, in order, and of when each was written; raises `InputError` where one is gone."""
    try:
        stats = [os.stat(file) for file in files]
    except FileNotFoundError as error:
        raise changed_meanwhile(error.filename) from error
    return hashlib.sha256(repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]).encode()).hexdigest()


def digest_as_before(address: Address, files: list[Path], before: str) -> str:
    """The digest of files, which was this `before` they were opened; raises `InputError` where it is another by now."""
    if digest_of_files(files) != before:
        raise changed_meanwhile(address)
    return before


def sidecar_of(path: Path) -> Path:
    """The file beside `path` that holds its record."""
    return path.with_name(path.name + SIDECAR)


def read_sidecar(path: Path) -> StoreRecord | None:
    """The record beside a file, None where there is none; raises `InputError` for what is no record."""
    place = sidecar_of(path)
    check_own_file(place)
    try:
        text = read_text(place, LONGEST)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(str(place), "what irp_hf writes of a store", "another file", "Move it.") from error
    return StoreRecord.from_json(text, str(place))


def write_sidecar(path: Path, record: StoreRecord) -> None:
    """Put a record beside a file."""
    with written_file(sidecar_of(path)) as file:
        file.write(record.to_json().encode())


class FileWriter(StagedWriter):
    """A new file, which is put together from the blocks that were kept once all are there."""

    def __init__(self, address: Address, plan: Plan) -> None:
        self.address, self.plan = address, plan
        self.path = check_path("destination", address.place)
        if not is_folder(self.path.parent):
            got = shown(str(self.path))
            raise refusal("destination", "a file in a folder that is there", got, "Make its folder first.")
        parts = Path(f"{self.path}.parts")
        for place in self._files(self.path):
            if os.path.lexists(place) and not is_done(parts):
                raise _exists(place)
        super().__init__(plan, parts)

    @override
    def finish(self, record: StoreRecord) -> Store:
        fresh = self._staging.folder / MADE / self.path.name
        with written_in_words(self.path, advice=GO_ON):
            if self._staging.done() is None:
                shutil.rmtree(fresh.parent, ignore_errors=True)  # of a run that was ended as it wrote
                fresh.parent.mkdir()
                self._assemble(record, fresh)
                with self._opened(fresh) as made:
                    self.check_written(made)
                self._staging.set_done(record)
            _publish(self._files(fresh), self._files(self.path))
            sync(self.path.parent)
        self._staging.remove()
        return self._opened(self.path)

    def _files(self, path: Path) -> list[Path]:
        """The files of a destination at `path`, of which that is the first: what must not exist before."""
        return [path]

    @abstractmethod
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        """Write those files."""

    @abstractmethod
    def _opened(self, path: Path) -> Store:
        """They as a store."""


def _publish(fresh: list[Path], places: list[Path]) -> None:
    """Give files their names, each in one step and the first one last; none where another has one of the names by now."""
    pairs = list(zip(fresh, places, strict=True))
    for made, place in pairs:
        if os.path.lexists(place) and made.exists() and not place.samefile(made):
            raise _exists(place)
        if not made.exists() and not os.path.lexists(place):
            raise refusal(
                str(place), "what this run has made", "nothing", f"Remove {made.parent.parent}, and run again."
            )
    given = []
    try:
        for made, place in reversed(pairs):
            if not os.path.lexists(place):
                _give_name(made, place)
                given.append((made, place))
    except BaseException:
        for made, place in given:
            place.replace(made)
        raise


def _give_name(made: Path, place: Path) -> None:
    try:
        os.link(made, place)
    except FileExistsError as error:
        raise _exists(place) from error
    except OSError:  # a file system without links
        made.rename(place)


def _exists(place: Path) -> InputError:
    return refusal(str(place), "nothing there", "what exists already", "Move it, or name another place.")
