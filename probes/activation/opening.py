"""The activation probe that a path names: an artefact of ours, or a published one."""

from __future__ import annotations

from pathlib import Path

from probes.activation.artefact import load_card
from probes.activation.probe import ActivationProbe
from probes.activation.published import PublishedProbe
from probes.activation.published_file import published_file
from probes.models.chat import Progress
from probes.models.device import Device, load_placed
from probes.models.keys import read_key
from probes.models.lens import LensModel
from probes.models.packaged import packaged_model_dir
from probes.models.states import StateReader
from probes.probe import Probe


def open_activation(model: StateReader, path: Path) -> Probe:
    """The probe at `path` on its reader: a `.pt` file, a folder with `probe.pt`, or an artefact.

    Raises BadInputError when there is none, or it is of another model.
    """
    file = published_file(path)
    return ActivationProbe.open(model, path) if file is None else PublishedProbe.open(model, file)


def open_reader(
    folder: Path | None,
    *,
    device: Device = "auto",
    url: str | None = None,
    served: str | None = None,
    key_file: Path | None = None,
    key_variable: str | None = None,
    progress: Progress | None = None,
) -> StateReader:
    """The model to fit a probe to: weights in process, or behind `url` with its tokenizer here.

    Without a folder it is the packaged model. Raises BadInputError where the folder or the server
    does not fit, UnreachableError where the server does not answer.
    """
    place = folder or packaged_model_dir(progress)
    if url is None:
        return load_placed(place, device)
    return LensModel.open(url, place, model=served, api_key=read_key(key_file, key_variable))


def precision(path: Path) -> str | None:
    """The precision of the states that the probe at `path` was fitted to; None where it is not said.

    Raises BadInputError when there is no probe.
    """
    return None if published_file(path) else load_card(path).dtype
