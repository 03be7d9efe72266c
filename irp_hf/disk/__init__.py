"""Files and folders that are written whole or not at all, and runs that go on after an interruption."""

from irp_hf.disk.atomic import check_path, replaced_folder, sync, written_file
from irp_hf.disk.blocks import Blocks, check_out
from irp_hf.disk.journal import Run

__all__ = ["Blocks", "Run", "check_out", "check_path", "replaced_folder", "sync", "written_file"]
