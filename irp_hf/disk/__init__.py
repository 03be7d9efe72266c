"""Files and folders that are written whole or not at all, and runs that go on after an interruption."""

from irp_hf.disk.atomic import replaced_folder, written_file
from irp_hf.disk.blocks import Blocks, check_out
from irp_hf.disk.journal import Run
from irp_hf.disk.places import check_path, sync
from irp_hf.disk.reading import read_folder

__all__ = ["Blocks", "Run", "check_out", "check_path", "read_folder", "replaced_folder", "sync", "written_file"]
