"""A hospital's ClientApp: the workshop's, bound to the one hospital this process works for."""

from __future__ import annotations

from collections.abc import Callable

from flwr.clientapp import ClientApp

from fedgen.federation.exchange.contract import Answering
from fedgen.federation.exchange.flower import client_app


def app_of(hospital: Answering, unread: Callable[[str], None] = lambda reason: None) -> ClientApp:
    """The ClientApp that answers for `hospital`, whatever node Flower takes it for.

    It is the object `fedgen simulate` runs; only the way to the site differs.

    Args:
        hospital: who answers.
        unread: told why a message could not be read.
    """
    return client_app(lambda context: hospital, unread)
