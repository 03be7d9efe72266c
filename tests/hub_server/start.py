"""Starts the Hub of the tests; to be imported before anything reads the environment for huggingface_hub."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hub_server import Hub

HUB = Hub().listen()
HOME = Path(tempfile.mkdtemp(prefix="hub-home-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in list(os.environ):
    if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_OFFLINE")):
        del os.environ[name]
os.environ |= {"HF_ENDPOINT": HUB.url, "HF_HOME": str(HOME), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))


def empty_cache() -> None:
    for path in HOME.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
