"""One reward tree for other frameworks: TRL, OpenRLHF, verl, verifiers. Imports none of them, and no torch.

    from medrl.interop import trl            a reward function for GRPOTrainer and its kin
    medrl interop openrlhf RECIPE --out F    a folder with agent, reward file, prompts and command line
    medrl interop verl RECIPE --out F        a folder with reward function, reward manager and rows
    from medrl.interop import verifiers      a reward hook for tasks of PrimeIntellect's verifiers

docs/interop.md says for each what becomes of a response that has no number.
"""

from medrl.interop.rows import Columns, pack, unpack
from medrl.interop.scoring import Scorer, read_reward

__all__ = ["Columns", "Scorer", "pack", "read_reward", "unpack"]
