from tests.probes.conftest import tiny, tiny_dir

__all__ = ["tiny", "tiny_dir"]
