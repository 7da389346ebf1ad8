"""A predictor in a file: a header in JSON, arrays of numbers, a checksum. Reading one runs nothing of it.

    magic 8 bytes · length of the header, 4 bytes little endian · header · arrays, float32 little endian · SHA-256

The checksum tells a damaged file, not a forged one: take predictors from whom you trust. The worst that a forged one
can do is to prefer the wrong models, and a dozen outcomes of one's own outvote it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ..errors import ConfigError
from ..routing.marks import PLACES, SHAPE
from ..routing.marks import VERSION as MARKS_VERSION
from ..routing.trained import Curve, Form, LinearForm, NearestForm, TrainedPredictor
from .card import FILE_VERSION, ArrayPlace, Card, Header

MAGIC = b"\x89SRP\r\n\x1a\n"
"""As PNG's: a byte that is no ASCII, and line ends that a transfer as text would change."""

SUFFIX = ".srp"

LARGEST = 2**27
"""Bytes, 128 MiB: the words of 256 models take half of it."""

LARGEST_HEADER = 2**20
LARGEST_NUMBER = 1e6
"""Weights and log odds beyond it are no result of training, and their sums might not be finite."""

DIGEST = 32

Arrays = Mapping[str, npt.NDArray[Any]]
Size = Sequence[int | None]

BOTH: Sequence[str] = ("known", "means", "low", "high", "output_tokens", "seconds", "scores", "logits")
LINEAR: Sequence[str] = ("base", "always", "models", "words", "rarity", "vector", "shape", "shape_mean", "shape_width")
NEAREST: Sequence[str] = ("base", "vectors", "good", "mass")


def save(predictor: TrainedPredictor, card: Card, path: Path) -> int:
    """Write a predictor, whole or not at all, so that only its owner may read it.

    Args:
        predictor: What `train` gave.
        card: What it was made of.
        path: Ends with .srp.

    Returns:
        How many bytes it takes.

    Raises:
        ConfigError: The file cannot be written, or would be larger than one that is read.
    """
    refuse_name(path)
    content = packed(predictor, card)
    if len(content) > LARGEST:
        raise ConfigError(f"a predictor must take at most {LARGEST} bytes, got {len(content)}; train on fewer models")
    fresh = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error}; what was there before is untouched") from error
    finally:
        fresh.unlink(missing_ok=True)
    return len(content)


def refuse_name(path: Path) -> None:
    """Refuses a name that `load` would not be expected to read, before hours of training.

    Raises:
        ConfigError: It does not end with .srp, or its folder is not there.
    """
    if path.suffix != SUFFIX:
        raise ConfigError(f"a predictor's file must end with {SUFFIX}, got {path.name!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"a predictor's file must lie in a folder that is there, got {str(path)!r}")


def packed(predictor: TrainedPredictor, card: Card) -> bytes:
    """A predictor as bytes."""
    form, curve = predictor.form, predictor.curve
    arrays: dict[str, npt.NDArray[Any] | None] = {
        name: getattr(curve if name in ("scores", "logits") else predictor, name) for name in BOTH
    }
    nearest: dict[str, Any] = {}
    if isinstance(form, LinearForm):
        arrays |= {name: getattr(form, name) for name in LINEAR}
    elif isinstance(form, NearestForm):
        arrays |= {name: getattr(form, name) for name in NEAREST}
        nearest = {
            "table_strength": float(form.strength),
            "neighbours": form.neighbours,
            "furthest": form.furthest,
            "starts": form.starts.tolist(),
        }
    there = {name: np.ascontiguousarray(array, dtype="<f4") for name, array in arrays.items() if array is not None}
    header = Header(
        enabled=predictor.enabled,
        kinds=list(predictor.kinds),
        models=list(predictor.models),
        embedder=predictor.embedder,
        dimension=predictor.dimension,
        form=None if form is None else "linear" if isinstance(form, LinearForm) else "nearest",
        strength=predictor.strength,
        slope=curve.slope,
        intercept=curve.intercept,
        arrays=[ArrayPlace(name=name, shape=list(array.shape)) for name, array in there.items()],
        card=card,
        **nearest,
    )
    told = header.model_dump_json().encode()
    content = b"".join((MAGIC, len(told).to_bytes(4, "little"), told, *(array.tobytes() for array in there.values())))
    return content + sha256(content).digest()


def load(path: str | os.PathLike[str], *, embedder: str | None, dimension: int | None = None) -> TrainedPredictor:
    """Read a predictor.

    Args:
        path: What `save` wrote.
        embedder: Identity of the embedder in use; None if there is none.
        dimension: Numbers of its vectors, if known.

    Raises:
        ConfigError: It is no such file, is damaged, or was made by a newer version or for another embedder.
    """
    header, predictor = opened(Path(path))
    again = "train it again with the embedder in use"
    if header.embedder is not None and header.embedder != embedder:
        raise ConfigError(
            f"{str(path)!r} must be for the embedder in use, {embedder!r}, got one for {header.embedder!r}; {again}"
        )
    if header.dimension is not None and dimension is not None and header.dimension != dimension:
        raise ConfigError(f"{str(path)!r} must take vectors of {dimension} numbers, got {header.dimension}; {again}")
    return predictor


def card_of(path: str | os.PathLike[str]) -> Header:
    """What a file says of itself, after the same checks.

    Raises:
        ConfigError: It is no such file, is damaged, or was made by a newer version.
    """
    return opened(Path(path))[0]


def opened(path: Path) -> tuple[Header, TrainedPredictor]:
    """A file's header and predictor, whatever its embedder.

    Raises:
        ConfigError: It is no such file, is damaged, or was made by a newer version.
    """
    name = repr(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot be read: {error}; steprouter train makes one") from error
    if len(content) > LARGEST:
        raise ConfigError(f"{name} must have at most {LARGEST} bytes, it has more")
    start = len(MAGIC) + 4
    if content[: len(MAGIC)] != MAGIC:
        raise ConfigError(f"{name} must be a predictor that steprouter train made, it is something else")
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    if len(content) < start + length + DIGEST or length > LARGEST_HEADER:
        raise ConfigError(f"{name} must be whole, it is cut off or damaged; train it again or copy it anew")
    if sha256(memoryview(content)[:-DIGEST]).digest() != content[-DIGEST:]:
        raise ConfigError(f"{name} must be undamaged, its checksum does not fit; train it again or copy it anew")
    header = header_of(name, content[start : start + length])
    arrays = arrays_of(name, header, memoryview(content)[start + length : -DIGEST])
    return header, predictor_of(header, arrays)


def header_of(name: str, told: bytes) -> Header:
    """The header.

    Raises:
        ConfigError: It is none, or of a newer version.
    """
    try:
        said = json.loads(told)
        if isinstance(said, dict):
            for field, ours in (("version", FILE_VERSION), ("marks", MARKS_VERSION)):
                if isinstance(said.get(field), int) and said[field] != ours:
                    way = "upgrade steprouter" if said[field] > ours else "train it again"
                    raise ConfigError(f"{name}: {field} must be {ours}, got {said[field]}; {way}")
        return Header.model_validate_json(told)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, wrong["loc"])) or "the header"
        raise ConfigError(f"{name}: {field}: {wrong['msg']}; train it again") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{name}: the header must be JSON: {error}; train it again") from None


def arrays_of(name: str, header: Header, rest: memoryview) -> Arrays:
    """The arrays, each of the shape that it must have and of sound numbers.

    Raises:
        ConfigError: One is missing, unknown, of another shape, or holds what training never gives.
    """
    shapes, found, place = shapes_of(header), {}, 0
    for told in header.arrays:
        wanted = shapes.get(told.name)
        fits = wanted is not None and len(wanted) == len(told.shape)
        if wanted is None or not fits or any(w not in (None, got) for w, got in zip(wanted, told.shape, strict=True)):
            raise ConfigError(f"{name}: array {told.name!r} of shape {told.shape} does not belong; train it again")
        size = 4 * int(np.prod(told.shape, dtype=np.int64))
        if told.name in found or place + size > len(rest):
            raise ConfigError(f"{name}: array {told.name!r} is there twice or not whole; train it again")
        found[told.name] = np.frombuffer(rest[place : place + size], dtype="<f4").reshape(told.shape)
        place += size
    if place != len(rest):
        raise ConfigError(f"{name}: {len(rest) - place} bytes follow the arrays; train it again")
    refuse_unsound(name, header, found)
    return found


def shapes_of(header: Header) -> Mapping[str, Size]:
    """The arrays there may be, with their lengths; None for any length."""
    kinds, models = len(header.kinds), len(header.models)
    table = (kinds, models)
    shapes: dict[str, Size] = {
        "known": table,
        "means": table,
        "low": (models,),
        "high": (models,),
        "output_tokens": table,
        "seconds": table,
        "scores": (None,),
        "logits": (None,),
    }
    if header.form == "linear":
        shapes |= {
            "base": table,
            "always": (None,),
            "models": (None, models),
            "words": (PLACES, None),
            "rarity": (PLACES,),
            "shape": (len(SHAPE), None),
            "shape_mean": (len(SHAPE),),
            "shape_width": (len(SHAPE),),
        }
        if header.dimension is not None:
            shapes["vector"] = (header.dimension, None)
    if header.form == "nearest":
        rows = header.starts[-1] if header.starts else 0
        shapes |= {"base": table, "vectors": (rows, header.dimension), "good": (rows, models), "mass": (rows, models)}
    return shapes


def refuse_unsound(name: str, header: Header, arrays: Arrays) -> None:
    """Refuses arrays that no training gives, so that every prior is a probability.

    Raises:
        ConfigError: There are some.
    """

    def insist(holds: bool | np.bool_, what: str) -> None:
        if not holds:
            raise ConfigError(f"{name}: {what}; train it again")

    needed = {*BOTH, *(("base", "always", "models") if header.form == "linear" else ())}
    needed |= {*(NEAREST if header.form == "nearest" else ())}
    for together in (("words", "rarity"), ("shape", "shape_mean", "shape_width")):
        needed |= {*(together if any(one in arrays for one in together) else ())}
    needed |= {"vector"} if header.form == "linear" and header.dimension is not None else set()
    insist(needed <= set(arrays), f"the arrays {', '.join(sorted(needed - set(arrays)))} must be there")
    for one, array in arrays.items():
        there = array[~np.isnan(array)] if one in ("output_tokens", "seconds") else array
        largest = 1e9 if one in ("output_tokens", "seconds") else LARGEST_NUMBER
        insist(bool(np.abs(there).max(initial=0) <= largest), f"the numbers of {one!r} must be finite and in bounds")
    low, high = arrays["low"], arrays["high"]
    insist((low >= 0).all() and (high <= 1).all() and (low <= high).all(), "bounds must lie between 0 and 1")
    means = arrays["means"]
    insist((means >= 0).all() and (means <= 1.001).all(), "means must lie between 0 and 1")
    scores, logits = arrays["scores"], arrays["logits"]
    insist(len(scores) == len(logits), "the calibration must have as many scores as log odds")
    insist((np.diff(scores) >= 0).all() and (np.diff(logits) >= 0).all(), "the calibration must not fall")
    if header.form == "linear":
        ranks = {len(arrays["always"]), len(arrays["models"])}
        ranks |= {arrays[one].shape[1] for one in ("words", "vector", "shape") if one in arrays}
        insist(len(ranks) == 1, f"all weights must have one rank, got {sorted(ranks)}")
        insist(all((arrays[one] > 0).all() for one in ("shape_width",) if one in arrays), "widths must be above 0")
    if header.form == "nearest":
        starts = header.starts or []
        rising = len(starts) == len(header.kinds) + 1 and starts[0] == 0 and starts == sorted(starts)
        insist(rising, "starts must rise from 0, one more than kinds")
        insist((arrays["mass"] >= 0).all() and (arrays["good"] >= 0).all(), "observations must not be negative")
        base = arrays["base"]
        insist((base >= 0).all() and (base <= 1).all(), "means must lie between 0 and 1")


def predictor_of(header: Header, arrays: Arrays) -> TrainedPredictor:
    """The predictor that a header and arrays are."""
    form: Form | None = None
    if header.form == "linear":
        form = LinearForm(**{name: arrays[name] for name in LINEAR if name in arrays})
    elif header.form == "nearest" and header.starts and header.table_strength and header.neighbours and header.furthest:
        form = NearestForm(
            **{name: arrays[name] for name in NEAREST},
            starts=np.array(header.starts, dtype=np.int64),
            strength=header.table_strength,
            neighbours=header.neighbours,
            furthest=header.furthest,
        )
    return TrainedPredictor(
        kinds={kind: place for place, kind in enumerate(header.kinds)},
        models=tuple(header.models),
        embedder=header.embedder,
        form=form,
        curve=Curve(
            slope=header.slope,
            intercept=header.intercept,
            scores=arrays["scores"].astype(np.float64),
            logits=arrays["logits"].astype(np.float64),
        ),
        known=arrays["known"] > 0,
        means=arrays["means"].astype(np.float64),
        low=arrays["low"].astype(np.float64),
        high=arrays["high"].astype(np.float64),
        strength=header.strength,
        output_tokens=arrays["output_tokens"].astype(np.float64),
        seconds=arrays["seconds"].astype(np.float64),
    )
