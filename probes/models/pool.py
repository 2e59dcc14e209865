"""Models in process that several panels share: each folder is loaded once for each device."""

from __future__ import annotations

from pathlib import Path

from probes.models.device import Device, hardware, load_placed
from probes.models.embedding import Embedder
from probes.models.local import LocalModel
from probes.premise.reader import PremiseReader


class ModelPool:
    """Loads a model when it is first asked for, and hands the same one out from then on.

    Not safe for several threads: panels are opened one after the other.
    """

    def __init__(self) -> None:
        self._local: dict[tuple[Path, Device, str | None, int], LocalModel] = {}
        self._embedder: Embedder | None = None
        self._premises: PremiseReader | None = None

    def local(
        self,
        folder: Path,
        *,
        device: Device = "auto",
        dtype: str | None = None,
        max_batch_tokens: int = 2048,
    ) -> LocalModel:
        """The model in a folder, where `place` puts it. Raises BadInputError as `load_placed`."""
        exactly = dtype if dtype is not None or hardware().cuda else "float32"
        key = (folder.resolve(), device, exactly, max_batch_tokens)
        if key not in self._local:
            self._local[key] = load_placed(
                folder, device, dtype=dtype, max_batch_tokens=max_batch_tokens
            )
        return self._local[key]

    def embedder(self) -> Embedder:
        """The packaged model of sentence embeddings."""
        if self._embedder is None:
            self._embedder = Embedder()
        return self._embedder

    def premises(self) -> PremiseReader:
        """The packaged reader of premises. Raises BadInputError as `PremiseReader.packaged`."""
        if self._premises is None:
            self._premises = PremiseReader.packaged()
        return self._premises
