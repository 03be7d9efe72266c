"""For child processes that know this folder alone: importing the whole package would cost seconds for each."""

from pathlib import Path

import irp_hf.disk

BARE = f"""
import os, shutil, signal, sys, time, types
package = types.ModuleType("irp_hf")
package.__path__ = [{str(Path(irp_hf.disk.__file__).parents[1])!r}]
sys.modules["irp_hf"] = package
from pathlib import Path
"""
