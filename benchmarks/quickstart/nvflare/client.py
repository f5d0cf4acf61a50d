"""A client that adds one to what it is given."""

import nvflare.client as flare

flare.init()
while flare.is_running():
    model = flare.receive()
    params = {name: value + 1 for name, value in model.params.items()}
    flare.send(flare.FLModel(params=params, metrics={"accuracy": 1.0}))
