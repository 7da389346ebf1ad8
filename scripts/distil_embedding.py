"""Make the table of `steprouter.embedding` by distilling all-MiniLM-L6-v2 (Apache-2.0) into one vector a wordpiece.

Teacher and texts come from openly licensed packages that pip installs and from a folder with sets of agent runs,
each a sub-folder of parquet files; `docs/embedding.md` names their licences. The output is the same for the same
texts, package versions and machine; between machines the teacher's last digits differ.

    python scripts/distil_embedding.py --requirements > sources.txt
    pip install --no-deps -r sources.txt && pip install 'steprouter[onnx]' scipy pyarrow
    python scripts/distil_embedding.py --data DIR [--vectors CACHE.npz]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steprouter.embedding.onnx import OnnxEmbedder
from steprouter.embedding.table import DIMENSION, Table, quantised, save
from steprouter.embedding.wordpiece import WordPiece
from steprouter.errors import ConfigError

Floats = npt.NDArray[np.float32]

TARGET = Path(__file__).parents[1] / "src" / "steprouter" / "embedding"
PACKAGES = (
    "chitchat-dataset==0.9.0",
    "google-api-python-client==2.202.0",
    "plaid-python==46.0.0",
    "stripe==16.1.0",
    "twilio==9.13.0",
)
HELD_OUT = (
    ("intents/banking77.parquet", "text"),
    ("intents/clinc150.parquet", "text"),
    ("semantic_pairs/mrpc.parquet", "text_a"),
    ("semantic_pairs/mrpc.parquet", "text_b"),
    ("semantic_pairs/qqp_gptcache.parquet", "text_a"),
    ("semantic_pairs/qqp_gptcache.parquet", "text_b"),
)
"""What `benchmarks/embedding.py` measures on, and the pairs that set thresholds: none of it may be learned from."""

SHORTEST, LONGEST = 3, 48
"""Words in a training text: below, the single wordpieces of the prior say as much; above, the teacher gets slow."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Texts of one origin: how to read them all, and how many at most to learn from."""

    name: str
    most: int
    read: Callable[[Path], Iterable[str]]


class Missing(Exception):
    """A file or package that the texts come from is not there."""


def column(path: Path, name: str) -> list[Any]:
    """One column of a parquet file."""
    if not path.exists():
        raise Missing(f"{path} is missing")
    values: list[Any] = importlib.import_module("pyarrow.parquet").read_table(path)[name].to_pylist()
    return values


def cells(file: str, name: str) -> Callable[[Path], Iterable[str]]:
    """Reads a column whose cells are texts."""
    return lambda data: column(data / file, name)


def mint_tasks(data: Path) -> Iterator[str]:
    """Tasks of MINT but HotpotQA's, which are share-alike, and MATH's, whose problems come from contests."""
    path = data / "mint/tasks.parquet"
    for origin, prompt in zip(column(path, "dataset"), column(path, "prompt"), strict=True):
        if origin not in ("hotpotqa", "math"):
            yield from sentences(prompt)


def questions(data: Path) -> Iterator[str]:
    """Questions of MMLU without their answer options."""
    return (re.split(r"\nA\.", prompt)[0] for prompt in column(data / "routellm/mmlu.parquet", "prompt"))


def customer_tasks(data: Path) -> Iterator[str]:
    """What Sierra wrote for tau-bench: the customers' reasons to call and the agents' policies."""
    for task in column(data / "tau/tasks.parquet", "task"):
        for text in strings(json.loads(task)):
            yield from sentences(text)
    for text in strings(json.loads((data / "tau/policies.json").read_text(encoding="utf-8"))):
        yield from sentences(text)


def strings(node: object) -> Iterator[str]:
    """Every string value of a JSON document."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def home(package: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise Missing(f"the package {package!r} is not installed; see --requirements")
    return Path(next(iter(found.submodule_search_locations)))


def conversations(_: Path) -> Iterator[str]:
    """What people wrote to strangers, a message at a time."""
    talks = json.loads((home("chitchat_dataset") / "dataset.json").read_text(encoding="utf-8"))
    for talk in talks.values():
        for turn in talk["messages"]:
            for message in turn:
                yield message["text"]


def docstrings(package: str) -> Callable[[Path], Iterable[str]]:
    """Reads the sentences of a package's docstrings."""

    def read(_: Path) -> Iterator[str]:
        for module in sorted(home(package).rglob("*.py")):
            for text in re.findall(r'"""(.*?)"""', module.read_text(encoding="utf-8"), re.DOTALL):
                yield from sentences(text)

    return read


def interfaces(_: Path) -> Iterator[str]:
    """What each method of Google's web interfaces is for."""
    for document in sorted((home("googleapiclient") / "discovery_cache/documents").glob("*.json")):
        for text in method_descriptions(json.loads(document.read_text(encoding="utf-8"))):
            yield from sentences(text)


def method_descriptions(node: Mapping[str, Any]) -> Iterator[str]:
    """Descriptions of the methods of a discovery document, at all depths."""
    for method in node.get("methods", {}).values():
        yield method.get("description", "")
    for resource in node.get("resources", {}).values():
        yield from method_descriptions(resource)


def sentences(text: str) -> list[str]:
    """A text cut after sentence ends and at blank lines, without links and mark-up."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|<[^>]*>|https?://\S+|[`*#|]", r"\1", text)
    return [" ".join(piece.split()) for piece in re.split(r"(?<=[.!?])\s+|\n\s*\n|\n\s*[-:]", plain)]


SOURCES = (
    Source(name="HWU64", most=8_000, read=cells("intents/hwu64.parquet", "text")),
    Source(name="SNIPS", most=4_000, read=cells("intents/snips.parquet", "text")),
    Source(name="MMLU", most=4_500, read=questions),
    Source(name="GSM8K", most=1_000, read=cells("routellm/gsm8k.parquet", "prompt")),
    Source(name="MINT", most=1_000, read=mint_tasks),
    Source(name="tau-bench", most=3_000, read=customer_tasks),
    Source(name="chitchat-dataset", most=20_000, read=conversations),
    Source(name="google-api-python-client", most=5_000, read=interfaces),
    Source(name="stripe", most=5_000, read=docstrings("stripe")),
    Source(name="plaid-python", most=3_000, read=docstrings("plaid")),
    Source(name="twilio", most=2_000, read=docstrings("twilio")),
)
"""The bounds keep one voice from drowning the others, and the teacher under ten minutes."""


def canonical(text: str) -> str:
    """What makes two texts the same: words in lower case, without marks and spacing."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


def gather(data: Path) -> dict[str, list[str]]:
    """The training texts of each source: none held out, none twice, and of too many those with the least hash."""
    taken = {canonical(text) for file, name in HELD_OUT for text in column(data / file, name)}
    gathered: dict[str, list[str]] = {}
    for source in SOURCES:
        texts: dict[str, str] = {}
        for text in source.read(data):
            key = canonical(text)
            if key not in taken and SHORTEST <= len(key.split()) <= LONGEST:
                texts.setdefault(key, text)
        chosen = sorted(texts, key=lambda key: hashlib.sha256(key.encode()).digest())[: source.most]
        taken.update(chosen)
        gathered[source.name] = [texts[key] for key in chosen]
    return gathered


def unit(vectors: Floats) -> Floats:
    """Rows of unit length; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


RARITY = 1e-5
"""SIF's constant: a piece weighs RARITY / (RARITY + frequency). Arora et al., "A simple but tough-to-beat baseline
for sentence embeddings" (2017), recommend 1e-3 to 1e-4 for word vectors. By `unseen_cosine` 1e-4, 1e-5, 1e-6 and 1e-7
gave .827, .830, .827 and .826: it hardly matters, as the fit corrects the prior."""

ZIPF_SHIFT = 2.7
"""Of Mandelbrot's form of Zipf's law, frequency ~ 1 / (rank + 2.7), the usual constant for English words."""

PULL = 0.6
"""How strongly a piece is held to its prior, in texts of one piece; .3, .6 and 1.0 gave .8299, .8301 and .8284."""

STEPS, PRECISION = 60, 1e-3
"""Conjugate gradients stop here: 60 steps, or a residual of a thousandth in every dimension."""

FIRST_PIECE = 999
"""The ids before are markers and blanks, but for [UNK]."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """The teacher's vectors about their mean, on their first principal components."""

    mean: Floats
    axes: Floats

    def project(self, vectors: Floats) -> Floats:
        """Into the space; (n, 256)."""
        return np.asarray((vectors - self.mean) @ self.axes, dtype=np.float32)


def principal_space(vectors: Floats) -> Space:
    """The space of the texts; each axis's sign is fixed, so that one machine's order of work cannot turn it."""
    _, axes = np.linalg.eigh(np.cov(vectors.T.astype(np.float64)))
    first = axes[:, ::-1][:, :DIMENSION]
    signs = np.sign(first[np.abs(first).argmax(axis=0), np.arange(DIMENSION)])
    return Space(mean=vectors.mean(axis=0), axes=(first * signs).astype(np.float32))


def prior(piece_vectors: Floats, space: Space) -> Floats:
    """What a piece means by itself, weighed by how rare it is: BERT's ids are in order of frequency (Zipf's law)."""
    by_rank = 1 / (np.arange(len(piece_vectors)) + ZIPF_SHIFT)
    weights = RARITY / (RARITY + by_rank / by_rank.sum())
    meanings = (piece_vectors - piece_vectors.mean(axis=0)) @ space.axes
    return np.asarray(meanings * weights[:, None], dtype=np.float32)


def counted(texts: Sequence[str], wordpiece: WordPiece) -> Any:
    """How often each text has each piece over the root of its length, a sparse (texts, pieces) matrix.

    The root keeps the sum of a text's pieces about as long as one piece, as far as they are independent.
    """
    rows = [wordpiece.ids(text) for text in texts]
    lengths = np.array([len(row) for row in rows])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    where = (np.repeat(np.arange(len(rows)), lengths), np.concatenate([np.array(row, dtype=int) for row in rows]))
    shape = (len(texts), len(wordpiece.vocabulary))
    return importlib.import_module("scipy.sparse").csr_matrix((values, where), shape=shape)


def fit(counts: Any, wanted: Floats, start: Floats) -> Floats:
    """The table M that makes |counts M - wanted|^2 + PULL |M - start|^2 least, `start` first brought to scale."""
    reached = counts @ start
    start = start * float((reached * wanted).sum() / (reached * reached).sum())
    table: Floats = start + solve(counts, wanted - counts @ start)
    return table


def solve(counts: Any, rest: Floats) -> Floats:
    """Ridge regression by conjugate gradients with Jacobi's preconditioner, all dimensions side by side."""
    turned = counts.T.tocsr()
    ease = 1 / (np.asarray(counts.multiply(counts).sum(axis=0)).reshape(-1, 1) + PULL)
    residual = turned @ rest
    found = np.zeros_like(residual)
    aim = PRECISION * np.linalg.norm(residual, axis=0)
    search = ease * residual
    size = (residual * search).sum(axis=0)
    for _ in range(STEPS):
        image = turned @ (counts @ search) + PULL * search
        stride = size / (search * image).sum(axis=0)
        found += stride * search
        residual -= stride * image
        if (np.linalg.norm(residual, axis=0) < aim).all():
            break
        eased = ease * residual
        grown = (residual * eased).sum(axis=0)
        search = eased + (grown / size) * search
        size = grown
    solution: Floats = found.astype(np.float32)
    return solution


def vocabulary_rows(vocabulary: Mapping[str, int]) -> dict[str, int]:
    """The pieces a text can give and their BERT ids: [UNK] first, then all from `FIRST_PIECE`, in order."""
    kept = [piece for piece, place in sorted(vocabulary.items(), key=lambda entry: entry[1]) if place >= FIRST_PIECE]
    return {piece: vocabulary[piece] for piece in ("[UNK]", *kept)}


def taught(texts: Sequence[str], cache: Path | None) -> tuple[dict[str, int], Floats, Floats]:
    """Pieces with their BERT ids, and the teacher's vectors of the pieces and of the texts; from a cache if it fits."""
    teacher = OnnxEmbedder()
    pieces = vocabulary_rows(teacher.model.wordpiece.vocabulary)
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
    if cache and cache.exists():
        kept = np.load(cache, allow_pickle=False)
        if str(kept["digest"]) == digest:
            return pieces, kept["pieces"], kept["texts"]
    piece_vectors = np.stack([teacher.embed_pieces([piece]) for piece in pieces.values()])
    text_vectors = teacher.embed_many(texts)
    if cache:
        np.savez(cache, digest=np.array(digest), pieces=piece_vectors, texts=text_vectors)
    return pieces, piece_vectors, text_vectors


def distil(data: Path, cache: Path | None) -> Table:
    """The table, from the texts on; what was read and how near the teacher it comes is printed."""
    gathered = gather(data)
    for name, texts in gathered.items():
        print(f"{len(texts):6} {name}")
    everything = [text for texts in gathered.values() for text in texts]
    bert_ids, piece_vectors, text_vectors = taught(everything, cache)
    pieces = {piece: row for row, piece in enumerate(bert_ids)}
    space = principal_space(text_vectors)
    counts = counted(everything, WordPiece(pieces))
    wanted = unit(space.project(text_vectors))
    start = prior(piece_vectors, space)
    print(f"{len(everything):6} texts, {len(pieces)} pieces")
    print(f"mean cosine to the teacher on texts that a fit has not seen: {unseen_cosine(counts, wanted, start):.4f}")
    return quantised(fit(counts, wanted, start), pieces)


def unseen_cosine(counts: Any, wanted: Floats, start: Floats) -> float:
    """How near the teacher a table fitted to most texts comes on the other twentieth; settings are chosen by it."""
    aside = np.random.default_rng(0).random(len(wanted)) < 1 / 20
    table = fit(counts[~aside], wanted[~aside], start)
    return float((unit(counts[aside] @ table) * wanted[aside]).sum(axis=1).mean())


def main() -> None:
    """Make the table, or say what it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requirements", action="store_true", help="print the packages read, and stop")
    parser.add_argument("--data", type=Path, help="folder with the sets")
    parser.add_argument("--vectors", type=Path, help="keep the teacher's vectors in this .npz file")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder the table is written to")
    given = parser.parse_args()
    if given.requirements:
        print("\n".join(PACKAGES))
        return
    if given.data is None:
        parser.error("--data is needed: the folder with intents/, mint/, routellm/, semantic_pairs/, tau/")
    try:
        table = distil(given.data, given.vectors)
    except (ConfigError, Missing) as missing:
        parser.error(str(missing))
    given.target.mkdir(parents=True, exist_ok=True)
    save(table, given.target)


if __name__ == "__main__":
    main()
