"""The neighbours' libraries are optional."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from says import says

ROOT = Path(__file__).parent.parent.parent
LIBRARIES = {  # by what is imported: our module, what it is there for, and the extra
    "sklearn": ("sklearn", "IRPTransformer", "sklearn"),
    "langchain_core": ("langchain", "IRPEmbeddings", "langchain"),
    "llama_index": ("llama_index", "IRPEmbedding", "llama-index"),
    "mteb": ("mteb", "IRPEncoder", "mteb"),
}
SCRIPT = f"""if True:
    import importlib, json, sys
    import irp_hf
    told, imported = {{}}, [library for library in {list(LIBRARIES)!r} if library in sys.modules]
    for library, (module, *_) in {LIBRARIES!r}.items():
        sys.modules[library] = None
        try:
            importlib.import_module("irp_hf.integrations." + module)
        except irp_hf.MissingDependencyError as error:
            told[library] = str(error)
    print(json.dumps([imported, told]))
"""


@pytest.mark.slow
def test_each_is_imported_where_it_is_used_and_its_extra_is_named():
    """If it fails, irp_hf imports a library for all, or says nothing of the extra where it lacks."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    imported, told = json.loads(run.stdout)
    assert imported == []
    for library, (_, name, extra) in LIBRARIES.items():
        assert says(told[library], name, f"pip install 'irp_hf[{extra}]'")
