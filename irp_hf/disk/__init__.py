"""Files and folders that are written whole or not at all, and runs that go on after an interruption."""
