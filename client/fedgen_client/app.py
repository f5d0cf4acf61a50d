"""A hospital's ClientApp: the workshop's, bound to the one site this process is."""

from __future__ import annotations

from flwr.clientapp import ClientApp

from fedgen.federation.flower import client_app
from fedgen.federation.site import Site


def app_of(site: Site) -> ClientApp:
    """The ClientApp that answers for `site`, whatever node Flower takes it for.

    It is the object `fedgen simulate` runs; only the way to the site differs.
    """
    return client_app(lambda context: site)
