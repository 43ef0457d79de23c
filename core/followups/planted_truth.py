"""Planted truth: how much of each planted feature datasets and models keep, as amplitude and epsilon vary."""

from __future__ import annotations

from collections.abc import Mapping

from core.cards import Catalogue, Node
from core.claims import Claim, Control, above
from core.findings import Conclusion, Figures, Plot, PublishedFigure, Series
from core.followups.graph import Found, Graph, SeedGraph
from core.kinds import train
from core.measure import Measure, difference, rate
from core.planning import dataset_card
from core.tables import Table
from sieve.specs import DecodeSpec, ModelRef, PlantedTruthSpec, TrainSpec

SOURCE = "Ilyas et al. 2019, arXiv 1905.02175, sections 3.1 and 3.2, on data whose truth is known"
PUBLISHED = (
    PublishedFigure("robust and non-robust features of images are nowhere known", "no figure", SOURCE, "memory"),
)
MODELS = ("D", "D_adv", "D_R", "D_NR")
"""Whose cue conflicts are read, D_rand's students after them."""


def check(spec: PlantedTruthSpec, catalogue: Catalogue) -> None:
    """Dataset and architecture exist and fit."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    train.check(TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=2), catalogue)


def expand(spec: PlantedTruthSpec) -> list[Node]:
    """For each seed and amplitude, none included: sources, datasets, a student of each, and a decoding of all."""
    graph = Graph(spec)
    for seed in spec.seeds:
        for amplitude in (*spec.amplitudes, 0.0):
            jobs = SeedGraph(graph, spec, seed)
            data, at = spec.planted(amplitude), f"{amplitude:g}"
            robust = jobs.train(f"{at}/D_adv", spec.adversarial_training, data)
            source = jobs.train(f"{at}/D", spec.training, data)
            made = {
                "D_R": jobs.synthesize(f"{at}/D_R", spec.robust, robust, dataset=data),
                "D_NR": jobs.synthesize(f"{at}/D_NR", spec.robust, source, dataset=data),
            }
            for epsilon in spec.epsilons:
                how = spec.random_target.model_copy(update={"epsilon": epsilon})
                row = f"D_rand_{epsilon:g}"
                made[row] = jobs.synthesize(f"{at}/{row}", how, source, dataset=data)
            models: list[ModelRef] = [source, robust]
            for row, dataset in made.items():
                recipe = spec.on_targets if row.startswith("D_rand") else spec.training
                models.append(jobs.train(f"{at}/{row}", recipe, dataset))
                jobs.evaluate(f"{at}/{row}", models[-1], dataset=data)
            decoding = DecodeSpec(dataset=data, constructed=tuple(made.values()), models=tuple(models))
            graph.add(f"{seed}/decode/{at}", decoding)
    return graph.concluded()


def conclude(spec: PlantedTruthSpec, figures: Mapping[str, Figures]) -> Conclusion:
    """Compare what is read back with chance, and with a dataset that holds no pattern."""
    rows = ("D_R", "D_NR", *(f"D_rand_{epsilon:g}" for epsilon in spec.epsilons))
    readers = ("D", "D_adv", *rows)
    found = Found(spec, figures)
    chance = round(100 / found.of("synthesize", f"{spec.amplitudes[0]:g}/D_R")[0]["classes"], 4)
    levels = (0.0, *sorted(spec.amplitudes))

    def predicts(level: float, row: str, key: str, what: str) -> Measure:
        held = [one["constructed"][rows.index(row)] for one in found.of("decode", f"{level:g}")]
        name = f"{what} {row.replace('_rand_', '_rand, epsilon ')}, amplitude {level:g}"
        return rate(name, [[one[key]] for one in held], held[0]["n_images"], trained=False)

    def follows(level: float, reader: str, key: str) -> Measure:
        held = found.of("decode", f"{level:g}")
        trained_on = reader.replace("_rand_", "_rand, epsilon ")
        name = f"cue conflicts read by their {key}, model trained on {trained_on}, amplitude {level:g}"
        values = [[one["models"][readers.index(reader)][key]] for one in held]
        return rate(name, values, held[0]["images"])

    patterns = {
        (level, row): predicts(level, row, "pattern", "label read off the pattern of")
        for level in levels
        for row in rows
    }
    shapes = {
        (level, row): predicts(level, row, "shape", "label read off the shape of") for level in levels for row in rows
    }
    added = {
        (level, row): predicts(level, row, "added_pattern", "label read off the pattern added in")
        for level in levels
        for row in rows
        if row.startswith("D_rand")
    }
    conflict = {
        (level, reader, key): follows(level, reader, key)
        for level in levels
        for reader in readers
        for key in ("shape", "pattern")
    }
    main, first = spec.amplitudes[0], rows[2]
    prefers = {
        reader: difference(
            f"cue conflicts read by their shape less those read by their pattern, model trained on {reader}",
            conflict[main, reader, "shape"],
            conflict[main, reader, "pattern"],
        )
        for reader in ("D", "D_R")
    }
    return Conclusion(
        title="Planted truth: what datasets and models keep of each feature",
        question="How much of the robust shape and of the non-robust pattern is kept, as amplitude and epsilon vary?",
        source=SOURCE,
        dataset=spec.dataset.name,
        claims=(
            Claim(
                "D_R",
                f"A model trained on D_R follows the robust feature where the two disagree (amplitude {main:g})",
                above(0, "the shape no more than the pattern"),
                prefers["D_R"],
                Control("the standard model, trained on the dataset itself", prefers["D"]),
            ),
            Claim(
                "D_NR",
                f"The non-robust feature is in D_NR (amplitude {main:g})",
                above(chance, "chance"),
                patterns[main, "D_NR"],
                Control("the same with no pattern planted", patterns[0.0, "D_NR"]),
            ),
            Claim(
                "D_rand",
                f"The non-robust feature is what D_rand's perturbations add (amplitude {main:g})",
                above(chance, "chance"),
                added[main, first],
                Control("the same with no pattern planted", added[0.0, first]),
            ),
        ),
        measures=(*prefers.values(), *patterns.values(), *shapes.values(), *added.values(), *conflict.values()),
        setting="none",
        published=PUBLISHED,
        tables=(_table(levels, rows, patterns, shapes, added),),
        plots=(
            _dose("What datasets keep of the pattern", "label read off the pattern, %", levels, rows, patterns),
            _dose(
                "Which models follow the pattern",
                "cue conflicts read by their pattern, %",
                levels,
                readers,
                {(level, reader): conflict[level, reader, "pattern"] for level in levels for reader in readers},
            ),
        ),
        notes=(
            "The decoders use no network. Chance is "
            f"{chance:g} %. Where no pattern is planted, cue conflicts are shown with the usual one (0.02).",
        ),
    )


def _dose(
    title: str, y: str, levels: tuple[float, ...], names: tuple[str, ...], held: Mapping[tuple[float, str], Measure]
) -> Plot:
    def series(name: str) -> Series:
        of = [held[level, name] for level in levels]
        return Series(
            name.replace("_rand_", "_rand, epsilon "),
            levels,
            tuple(one.mean for one in of),
            tuple(one.low for one in of),
            tuple(one.high for one in of),
        )

    caption = "Against the planted pattern's amplitude; 0 is none. Bars are 95 % intervals."
    return Plot(title, caption, "lines", "amplitude of the pattern, pixel values", y, tuple(map(series, names)))


def _table(
    levels: tuple[float, ...],
    rows: tuple[str, ...],
    patterns: Mapping[tuple[float, str], Measure],
    shapes: Mapping[tuple[float, str], Measure],
    added: Mapping[tuple[float, str], Measure],
) -> Table:
    cells = tuple(
        (
            f"{row.replace('_rand_', '_rand, epsilon ')}, amplitude {level:g}",
            shapes[level, row].text(),
            patterns[level, row].text(),
            added[level, row].text() if (level, row) in added else "–",
        )
        for row in rows
        for level in levels
    )
    return Table("Label read off", ("dataset", "shape", "pattern", "pattern of what was added"), cells)
