"""Commands about medrl itself and its neighbours: plugins, new, interop, config, doctor.

What is heavy is imported when a command needs it.
"""

import argparse
import sys
from pathlib import Path

from medrl.commands.terminal import FAILED, FAULT, Commands, console_of, write_json
from medrl.errors import did_you_mean


def add(commands: Commands) -> None:
    """Declare these commands."""
    listing = commands.add_parser(
        "plugins",
        help="every verifier, reward, algorithm, ...: from where, which version, does it load",
        description="Every component by group. Exit status 0: all can be used; 1: one does not load, or a name clashes.",
    )
    listing.add_argument("--group", help="only verifiers, rewards, environments, algorithms or chat")
    listing.add_argument("--json", metavar="OUT", help="write the list here")
    listing.set_defaults(command=_plugins)

    new = commands.add_parser("new", help="write an installable package with a verifier or reward of your own")
    new.add_argument("kind", choices=("verifier", "reward"))
    new.add_argument("name", help="what recipes will call it: small letters, digits and _")
    new.add_argument("--folder", metavar="FOLDER", help="where; default medrl-NAME in this folder")
    new.set_defaults(command=_new)

    interop = commands.add_parser("interop", help="write a folder that OpenRLHF or verl trains from")
    interop.add_argument("framework", choices=("openrlhf", "verl"))
    interop.add_argument("source", help="a recipe (rows and command line too), or the YAML of a reward tree")
    interop.add_argument("overrides", nargs="*", metavar="KNOB=VALUE", help="of the recipe")
    interop.add_argument("--out", metavar="FOLDER", required=True, help="new folder to write")
    interop.add_argument("--model", help="OpenRLHF: the policy, where the recipe's is made or fine-tuned by medrl")
    interop.add_argument("--gpus", type=int, help="OpenRLHF: GPUs of the machine; default 8")
    interop.add_argument("--tensor-parallel", type=int, help="OpenRLHF: GPUs for one vLLM engine; default 1")
    interop.add_argument("--max-len", type=int, help="OpenRLHF: longest prompt and response together, in tokens")
    interop.add_argument(
        "--via", choices=("agent", "file", "url"), help="OpenRLHF: how medrl is attached; default agent"
    )
    interop.add_argument("--url", help="OpenRLHF, --via url: where `medrl serve` listens")
    interop.set_defaults(command=_interop)

    config = commands.add_parser("config", help="every knob of a recipe, with its documentation")
    config.add_argument("knob", nargs="?", default="", help="only knobs that begin so, e.g. optimization.lr")
    config.add_argument("--recipe", metavar="FILE", help="print this recipe, complete and resolved, as YAML")
    config.add_argument("--yaml", action="store_true", help="print a complete recipe with comments, to begin from")
    config.set_defaults(command=_config)

    doctor = commands.add_parser("doctor", help="what this machine can run")
    doctor.add_argument(
        "--cluster", nargs="?", const="", metavar="ADDRESS",
        help="look at a Ray cluster instead (auto, HOST:6379); without an address one of this machine",
    )  # fmt: skip
    doctor.add_argument("--folder", default=".", help="with --cluster: where runs are kept; every node must see it")
    doctor.set_defaults(command=_doctor)


def _plugins(options: argparse.Namespace) -> int:
    from medrl.commands import plugin_list

    found = plugin_list.find(options.group)
    plugin_list.show(console_of(140), found)
    if options.json:
        write_json(options.json, plugin_list.report_json(found))
    return FAILED if plugin_list.broken(found) else 0


def _new(options: argparse.Namespace) -> int:
    from medrl.commands.new_plugin import create, next_steps

    folder = create(options.kind, options.name, options.folder)
    print(next_steps(options.kind, options.name, folder))
    return 0


def _interop(options: argparse.Namespace) -> int:
    from medrl.interop.export import export_openrlhf, export_verl, with_defaults
    from medrl.interop.openrlhf_command import Launch
    from medrl.interop.scoring import read_source

    reward, recipe = read_source(options.source, options.overrides)
    if options.framework == "verl":
        written = export_verl(reward, recipe, options.out)
    else:
        names = ("model", "gpus", "tensor_parallel", "max_len", "via", "url")
        launch = with_defaults(Launch(), **{name: getattr(options, name) for name in names})
        written = export_openrlhf(reward, recipe, options.out, launch)
    print(f"written to {written.folder}: {', '.join(written.files)}")
    if written.command is not None:
        print("knobs of the recipe without a flag (also in train.sh):")
        for knob, why in written.command.notes.items():
            print(f"  {knob}: {why}")
    return 0


def _config(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe, to_yaml

    if options.yaml:
        from medrl.recipes.document import template

        print(template(), end="")
        return 0
    if options.recipe:
        print(to_yaml(load_recipe(options.recipe)), end="")
        return 0
    from medrl.recipes.document import knobs

    found = knobs(options.knob)
    if not found:
        print(
            f"medrl: there is no knob {options.knob!r}{did_you_mean(options.knob, [k.path for k in knobs()])}",
            file=sys.stderr,
        )
        return FAULT
    console = console_of(100)
    for knob in found:
        default = f" = {knob.default}" if knob.default else ""
        console.print(f"{knob.path}: {knob.type}{default}", style="bold", soft_wrap=True)
        console.print(f"    {knob.doc}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster is not None:
        from medrl.commands import cluster_doctor

        return cluster_doctor.main(options.cluster or None, Path(options.folder))
    from medrl.commands import doctor

    return doctor.main()
