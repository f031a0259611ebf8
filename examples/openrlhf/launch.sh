#!/usr/bin/env bash
# From a recipe to a running OpenRLHF, on one machine. Where both are installed is said by two variables:
#
#   MEDRL=.venv/bin/medrl OPENRLHF=path/of/its/environment examples/openrlhf/launch.sh [RECIPE] [FOLDER]
set -euo pipefail
recipe=${1:-examples/openrlhf/recipe.yaml}
folder=${2:-runs/openrlhf}
medrl=${MEDRL:-medrl}
: "${OPENRLHF:?name the environment that OpenRLHF is installed in, see examples/openrlhf/README.md}"

[ -e "$folder/train.sh" ] || "$medrl" interop openrlhf "$recipe" --out "$folder" --gpus "${GPUS:-8}"
export PATH="$OPENRLHF/bin:$PATH"
python -c 'import medrl.interop.openrlhf, openrlhf' # both must be there, for the agent runs inside OpenRLHF's workers
ray start --head --num-gpus "${GPUS:-8}"
trap 'ray stop' EXIT
"$folder/train.sh"
