"""Where uploads and results lie for a while: in one folder of the page's own, whoever leaves them there."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

AGE, PAUSE = 900, 60  # seconds that files stay, and between two looks at them


def own_folder() -> Path:
    """A new folder, which gradio uses from now on, and which is gone when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="irp_hf-page-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def keep_swept(folder: Path) -> None:
    """Remove what is old from now on, in the background, until Python ends."""

    def run() -> None:
        while True:
            sweep(folder, AGE)
            time.sleep(PAUSE)

    threading.Thread(target=run, name="sweeper", daemon=True).start()


def sweep(folder: Path, age: float) -> None:
    """Remove each file that was written more than `age` seconds ago, and folders that are empty as long."""
    oldest = time.time() - age
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder before the folder
        with contextlib.suppress(OSError):  # somebody else was quicker, or the folder is not empty
            if path.lstat().st_mtime < oldest:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
