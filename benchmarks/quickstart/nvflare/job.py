"""NVIDIA FLARE's averaging in its own simulator, of three clients that add one: `python job.py WORKSPACE`."""

import sys

import numpy as np
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

recipe = NumpyFedAvgRecipe(
    name="average",
    model=np.zeros(1000, np.float32).tolist(),
    min_clients=3,
    num_rounds=3,
    train_script="client.py",
)
recipe.execute(SimEnv(num_clients=3, workspace_root=sys.argv[1]))
