"""From 1 to 1,024 GPUs: predicted step time, best split, staleness and cost; and how far off predictions of real runs are.

    python benchmarks/scale.py [--check local|ray|none] [--rounds N] [--plot FILE] [--json FILE]
        [--gpu H100] [--price P] [--problems P] [--samples G] [--mean N] [--spread S] [--limit N] [--learning F] ...

Two parts. **The check** trains real, tiny models here. Rates (seconds per decoding step, row, token of context, rollout and
token of the learner) are fitted to the steps of three small settings; the step time of other settings is then predicted, with
response lengths drawn from those of the fitted settings, and compared with what is measured. `prediction_error` is the mean
of the absolute relative errors of those that no rate was fitted to. All settings take a step each in turns.

    local   the embedded engine and the torch learner in this process. Nothing waits for anything there, so seconds are those
            of the process's CPU clock: what a step would take on an idle core, and no measure of the other programs here
    ray     `placement: ray` with one and two vLLM engines and DeepSpeed ranks: an engine's rates from runs with one of them,
            a learner's from runs with as many ranks (what they exchange has to be measured), by the clock on the wall, so
            that other programs spoil it. It means something where each actor has a core. Needs ray, vllm and deepspeed

**The prediction** feeds the same simulator with published peak figures of GPUs and assumed shares of them
(`medrl.sizing.Achieved`; all can be given as options), for seven models and 1 to 1,024 GPUs: for each, the fastest split
between engines and learner at k = 0 and k = 1, out of those that fit. None of it was run on GPUs: the check shows that
the simulator counts rightly, not that the shares are those of your cluster. Prices are not known to it; give yours.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rl_step
import scale_check
from common import fail, machine, print_machine, print_table, write_json

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COLOURS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#666666")  # Okabe and Ito (2008)
SHARES = ("learning", "multiplying", "reading", "linking", "step", "transport", "switch")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", choices=("local", "ray", "none"), default="local", help="which real runs to predict")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each real run that count")
    parser.add_argument("--gpu", default="H100", help="A100, H100 or H200")
    parser.add_argument("--models", nargs="*", help="names as in medrl.sizing.SHAPES; all where none is given")
    parser.add_argument("--gpus", nargs="*", type=int, default=GPUS, help="numbers of GPUs; none predicts nothing")
    parser.add_argument("--steps", type=int, default=200, help="steps of the run whose GPU hours are told")
    parser.add_argument("--price", type=float, help="of a GPU hour, in whatever currency; without it no cost is told")
    parser.add_argument("--problems", type=int, default=256, help="P, problems of a step")
    parser.add_argument("--samples", type=int, default=16, help="G, rollouts of each")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--mean", type=float, default=1500, help="mean length of responses, before the limit")
    parser.add_argument("--spread", type=float, default=0.8, help="standard deviation of the logarithm of lengths")
    parser.add_argument("--limit", type=int, default=8192, help="longest response")
    parser.add_argument("--scoring", type=float, default=0.0, help="seconds that the scores of a group take")
    parser.add_argument("--staleness", nargs="*", type=int, default=(0, 1), help="values of k")
    parser.add_argument("--together", action="store_true", help="with k = 0 GPUs may sample and learn in turn, too")
    for name in SHARES:
        parser.add_argument(f"--{name}", type=float, help=f"Achieved.{name} of medrl.sizing")
    parser.add_argument("--plot", type=Path, help="write a picture here (PNG)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


# The check


def run_check(kind: str, rounds: int) -> dict[str, Any]:
    """Fit, predict, measure, print; the figures."""
    import torch
    import transformers

    from medrl.data.clinic import generate_problems
    from medrl.types import ask

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    drawn = generate_problems(split="train", count=400, languages=("en",))
    problems = [type(p)(p.id, ask(p.question + rl_step.INSTRUCTION)) for p in drawn]
    policy = rl_step.make_policy(problems)
    if kind == "ray":
        from scale_ray import check_on_ray

        rates, compared = check_on_ray(policy, problems, rounds)
    else:
        rates, compared = scale_check.check(policy, problems, rounds)
    return report_check(kind, rates, compared)


def report_check(kind: str, by_ranks: dict[int, Any], compared: Sequence[scale_check.Comparison]) -> dict[str, Any]:
    engine = by_ranks[1].engine
    rows = [
        ["a decoding step", f"{1e3 * engine.step:.2f} ms"],
        ["  and a row of it", f"{1e6 * engine.row:.0f} us"],
        ["  and a token of its context", f"{1e9 * engine.context:.0f} ns"],
        ["a token of a prompt", f"{1e6 * engine.prompt:.0f} us"],
        ["a rollout", f"{1e3 * engine.rollout:.2f} ms"],
        ["a step's call of the engine", f"{1e3 * engine.call:.1f} ms"],
    ]
    for ranks, rates in by_ranks.items():
        rows += [
            [f"{ranks} ranks, a token of a rank", f"{1e6 * rates.learner.token:.0f} us"],
            ["  an update", f"{1e3 * rates.learner.update:.1f} ms"],
            ["  weight sync", f"{1e3 * rates.sync:.1f} ms"],
        ]
    print()
    print_table(["rates, fitted to the settings marked *", ""], rows)
    print()
    rows = [
        [
            f"{'* ' if one.setting.fits else '  '}{one.setting}",
            f"{one.predicted:.3f}",
            f"{one.measured:.3f}",
            f"{one.error:+.1%}",
            f"{one.of_step:.1%}",
            *(f"{one.phases[name][0]:.2f} / {one.phases[name][1]:.2f}" for name in ("sampling", "learning")),
        ]
        for one in compared
    ]
    print_table(
        [f"real runs ({kind})", "predicted s/step", "measured", "error", "by own lengths", "sampling", "learning"], rows
    )
    errors = [abs(one.error) for one in compared if not one.setting.fits]
    figures = {
        "prediction_error": statistics.mean(errors),
        "prediction_error_largest": max(errors),
        "prediction_error_by_own_lengths": statistics.mean(one.of_step for one in compared if not one.setting.fits),
    }
    print(
        f"\nprediction error: {figures['prediction_error']:.1%} (mean of {len(errors)} settings that nothing was fitted to; "
        f"largest {figures['prediction_error_largest']:.1%}; single steps by their own lengths "
        f"{figures['prediction_error_by_own_lengths']:.1%})"
    )
    return {
        "check": kind,
        **figures,
        "predicted": {str(one.setting): one.predicted for one in compared},
        "measured": {str(one.setting): one.measured for one in compared},
        "fitted": [str(one.setting) for one in compared if one.setting.fits],
    }


# The prediction


def predict_all(options: argparse.Namespace) -> list[tuple[str, int, int, Any]]:
    """Model, GPUs, k and the best plan, or why there is none."""
    from medrl.sizing import SHAPES, Achieved, DoesNotFit, Lengths, Site, Workload, best_split, machine_of, shape_of

    given = {name: getattr(options, name) for name in SHARES if getattr(options, name) is not None}
    lengths = Lengths(options.mean, options.spread, limit=options.limit)
    work = Workload(options.problems, options.samples, options.prompt, lengths, scoring=options.scoring)
    found = []
    for name in options.models or SHAPES:
        site = Site(shape_of(name), machine_of(options.gpu), work, Achieved(**given))
        for gpus in options.gpus:
            for staleness in options.staleness:
                try:
                    found.append((name, gpus, staleness, best_split(site, gpus, staleness, together=options.together)))
                except DoesNotFit as error:
                    found.append((name, gpus, staleness, error))
    return found


def report_predictions(options: argparse.Namespace, found: Sequence[tuple[str, int, int, Any]]) -> None:
    print(
        f"\npredicted, not run: {options.gpu}, {options.problems} problems x {options.samples} rollouts, prompts of "
        f"{options.prompt} tokens, responses of {options.mean:g} in the mean (spread {options.spread:g}) and at most "
        f"{options.limit}\n"
    )
    rows = [
        [
            name,
            str(gpus),
            str(k),
            str(plan.split),
            f"{plan.simulated.step:.0f}",
            f"{plan.simulated.engines_idle:.0%}",
            f"{plan.simulated.learner_idle:.0%}",
            f"{plan.simulated.mean_staleness:.2f}",
            f"{plan.simulated.tokens_per_second / gpus:,.0f}",
            f"{plan.gpu_hours(options.steps):,.0f}",
            *([f"{plan.cost(options.steps, options.price):,.0f}"] if options.price is not None else []),
        ]
        for name, gpus, k, plan in found
        if not isinstance(plan, Exception)
    ]
    header = [
        "model",
        "GPUs",
        "k",
        "engines + ranks",
        "s/step",
        "engines idle",
        "learner idle",
        "staleness",
        "tokens/s/GPU",
    ]
    header += [f"GPU h / {options.steps} steps", *(["cost"] if options.price is not None else [])]
    print_table(header, rows)
    for name in dict.fromkeys(name for name, *_ in found):
        small = [(gpus, plan) for model, gpus, _, plan in found if model == name and isinstance(plan, Exception)]
        fits = [gpus for model, gpus, _, plan in found if model == name and not isinstance(plan, Exception)]
        if small and small[-1][0] < min(fits, default=10**9):
            print(f"{name}: nothing fits on {small[-1][0]} GPUs or fewer ({small[-1][1]})")


def draw(options: argparse.Namespace, found: Sequence[tuple[str, int, int, Any]], check: dict[str, Any]) -> None:
    """Step time and GPU hours over GPUs, and predicted over measured."""
    from medrl.errors import need

    need("matplotlib", "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    time, cost, real = figure.subplots(1, 3)
    names = list(dict.fromkeys(name for name, *_ in found))
    for name, colour in zip(names, COLOURS, strict=False):
        for k in options.staleness:
            plans = [(g, p) for n, g, kk, p in found if n == name and kk == k and not isinstance(p, Exception)]
            style = {"color": colour, "linestyle": "-" if k else ":", "marker": "o" if k else "s", "markersize": 3.5}
            label = {"label": name} if k == max(options.staleness) else {}
            time.plot([g for g, _ in plans], [p.simulated.step for _, p in plans], **style)
            cost.plot([g for g, _ in plans], [p.gpu_hours(options.steps) for _, p in plans], **style, **label)
    for axes, title in ((time, "seconds per step"), (cost, f"GPU hours of {options.steps} steps")):
        axes.set(xscale="log", yscale="log", xlabel=f"{options.gpu} GPUs", title=f"{title} (predicted)")
        axes.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1,024"])
        axes.xaxis.minorticks_off()
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.yaxis.set_minor_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
    if names:
        cost.legend(fontsize=8, title="solid: k above 0, dotted: k = 0", title_fontsize=8, loc="upper left")
    draw_check(real, check)
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.plot, format="png", dpi=120, metadata={"Software": None})
    print(f"picture: {options.plot}")


def draw_check(axes: Any, check: dict[str, Any]) -> None:
    if not check:
        axes.set_axis_off()
        return
    measured, predicted = list(check["measured"].values()), list(check["predicted"].values())
    top = 1.1 * max(measured + predicted)
    axes.plot([0, top], [0, top], color="#666666", linewidth=1)
    axes.fill_between([0, top], [0, 0.9 * top], [0, 1.1 * top], color="#666666", alpha=0.15, label="within 10 %")
    for fitted, label in ((False, "predicted"), (True, "fitted to")):
        names = [name for name in check["measured"] if (name in check["fitted"]) == fitted]
        points = [check["measured"][name] for name in names], [check["predicted"][name] for name in names]
        axes.plot(*points, "o", color=COLOURS[1], fillstyle="none" if fitted else "full", label=label)
    title = f"real runs here ({check['check']}), error {check['prediction_error']:.1%}"
    axes.set(xlabel="measured seconds per step", ylabel="predicted", title=title, xlim=(0, top), ylim=(0, top))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def checked(work: Callable[[], Any]) -> Any:
    """What `work` returns; what options or missing packages make impossible ends the program with its message."""
    from medrl.errors import MedrlError

    try:
        return work()
    except (ValueError, MedrlError) as error:
        fail(str(error))


def main() -> None:
    options = arguments()
    if options.rounds < 1 or options.steps < 1 or (options.price is not None and options.price < 0):
        fail("--rounds and --steps must be at least 1, and --price not below 0")
    about = machine()
    print_machine(about)
    found = checked(lambda: predict_all(options))
    check = checked(lambda: run_check(options.check, options.rounds)) if options.check != "none" else {}
    if found:
        report_predictions(options, found)
    if options.plot is not None:
        draw(options, found, check)
    plans = {
        f"{name}, {gpus} GPUs, k = {k}": {"split": str(plan.split), "seconds": plan.simulated.step}
        for name, gpus, k, plan in found
        if not isinstance(plan, Exception)
    }
    write_json(options.json, {**check, "plans": plans, **about})


if __name__ == "__main__":
    main()
