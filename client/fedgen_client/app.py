"""A hospital's ClientApp: the workshop's, bound to the one hospital this process works for."""

from __future__ import annotations

from flwr.clientapp import ClientApp

from fedgen.federation.exchange.contract import Answering
from fedgen.federation.exchange.flower import client_app


def app_of(hospital: Answering) -> ClientApp:
    """The ClientApp that answers for `hospital`, whatever node Flower takes it for.

    It is the object `fedgen simulate` runs; only the way to the site differs.
    """
    return client_app(lambda context: hospital)
