"""Flower's averaging in its own simulation, of three clients that add one."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """One more."""
    (values,) = message.content["arrays"].to_numpy_ndarrays()
    own = {"arrays": ArrayRecord([values + 1]), "metrics": MetricRecord({"num-examples": 1})}
    return Message(content=RecordDict(own), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Three rounds."""
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    strategy.start(grid=grid, initial_arrays=ArrayRecord([np.zeros(1000, np.float32)]), num_rounds=3)
