"""Tensors by name from bytes: safetensors, or a state dict that torch.save wrote and that asks for nothing but tensors.

A pickle is a program. torch reads one with `weights_only=True` by a list of what it may call; before that, this module
reads the program's words without running it, by a shorter list, and refuses whatever asks for more. TorchScript, which
is code and not weights, is refused too.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from fedgen.errors import DataError
from fedgen.run.tensors import metadata

#: What a pickled state dict calls: its containers and its tensors' storages.
CALLED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(
        f"torch {kind}Storage"
        for kind in (
            "Float",
            "Double",
            "Half",
            "BFloat16",
            "Long",
            "Int",
            "Short",
            "Char",
            "Byte",
            "Bool",
        )
    ),
}
#: Ways to name what is called that no state dict takes.
OTHER_CALLS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
#: Bytes of the program itself, beside the numbers; names and shapes of a hundred thousand tensors.
MOST_PROGRAM = 2**26
#: Dictionaries in dictionaries, as in a checkpoint of several networks.
DEEPEST = 8
AS_WEIGHTS = "save its state_dict() with torch.save, or better as safetensors"


def read_state(content: bytes, what: str) -> dict[str, Tensor]:
    """Tensors by name; names in a dictionary of dictionaries are joined by dots, and what is no tensor is left out.

    Args:
        content: of a file of weights.
        what: the file, as a sentence names it.

    Raises:
        DataError: it is damaged, of no known format, a program, or holds no tensor.
    """
    if content.startswith(b"PK"):
        state = _torch(content, what)
    elif content.startswith(b"\x80"):
        raise DataError(
            f"{what} is a bare pickle, or in torch's format before 1.6, which is not read: {AS_WEIGHTS}."
        )
    else:
        state = _safetensors(content, what)
    if not state:
        raise DataError(f"{what} holds no tensor: give a file of weights.")
    return state


def _safetensors(content: bytes, what: str) -> dict[str, Tensor]:
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise DataError(
            f"{what} is neither safetensors ({error}) nor a state dict of torch.save: get it again, or {AS_WEIGHTS}."
        ) from None
    if metadata(content) is not None:
        # Whose patients are in it is written there, and must not be lost on the way.
        raise DataError(
            f"{what} was written by fedgen itself and needs no import: give it with --pretrained."
        )
    return tensors


def _torch(content: bytes, what: str) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            program = _program(archive, len(content), what)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise DataError(f"{what} is damaged ({error}): get it again.") from None
    _refuse_calls(program, what)
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes torch's reader say
        raise DataError(
            f"{what} cannot be read by torch ({type(error).__name__}): get it again, or {AS_WEIGHTS}."
        ) from None
    if not isinstance(found, Mapping):
        raise DataError(f"{what} holds no dictionary of tensors: {AS_WEIGHTS}.")
    state: dict[str, Tensor] = {}
    _flatten(found, "", state, DEEPEST, what)
    return state


def _program(archive: zipfile.ZipFile, length: int, what: str) -> bytes:
    members = archive.infolist()
    inner = {"/".join(PurePosixPath(member.filename).parts[1:]) for member in members}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise DataError(
            f"{what} is TorchScript, which is a program and not weights, and is not run: {AS_WEIGHTS}."
        )
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(member.file_size for member in members) > length:
        raise DataError(f"{what} is not laid out as torch.save does it: {AS_WEIGHTS}.")
    programs = [member for member in members if PurePosixPath(member.filename).name == "data.pkl"]
    if len(programs) != 1 or programs[0].file_size > MOST_PROGRAM:
        raise DataError(f"{what} is not laid out as torch.save does it: {AS_WEIGHTS}.")
    return archive.read(programs[0])


def _refuse_calls(program: bytes, what: str) -> None:
    wanted: str | None = None
    try:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name in OTHER_CALLS:
                wanted = "something by a name that it makes up"
            elif opcode.name == "GLOBAL" and argument not in CALLED:
                wanted = ".".join(str(argument).split(" ", 1))
            if wanted is not None:
                break
    except Exception as error:  # whatever a damaged program makes the reader say
        raise DataError(f"{what} is damaged ({type(error).__name__}): get it again.") from None
    if wanted is not None:
        raise DataError(
            f"{what} is a pickle that asks to call {wanted[:100]!a}, which no state dict needs, and nothing of it was "
            f"run: {AS_WEIGHTS}."
        )


def _flatten(
    found: Mapping[object, object], prefix: str, into: dict[str, Tensor], depth: int, what: str
) -> None:
    if depth == 0:
        raise DataError(f"{what} has dictionaries more than {DEEPEST} deep: {AS_WEIGHTS}.")
    for key, value in found.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Mapping):
            _flatten(value, f"{prefix}{key}.", into, depth - 1, what)
        elif isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized:
            into[f"{prefix}{key}"] = value.detach()
