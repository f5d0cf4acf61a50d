"""A hospital's side of Flower's Fleet API: pull messages, push replies, say that one is alive.

Private names used: `FleetHttpClient` and its two interceptors (the protobuf-over-HTTP client with node
authentication), the Fleet protobufs, and the two functions that make object pulls and pushes. Not used is
`http_request_response`, which wraps the same client: it ends the process where the first connection fails, swallows
what is raised inside it, and sends this process SIGINT when it is not authorised (docs/decisions/008).

What came is bytes until the worker opens it; nothing here runs, imports or unpacks what a coordinator sent, and
`GetFab`, which would fetch its code, is never called.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedgen.errors import FederationError, PrivacyRefusedError

#: Seconds within which the coordinator expects the next sign of life, twice over.
HEARTBEAT_SECONDS = 30.0
#: Seconds that the coordinator may take to upload a message that has been announced.
UPLOAD_SECONDS = 600.0
UPLOAD_POLL_SECONDS = 0.05


class UnreachableError(FederationError):
    """The coordinator did not answer; it may later."""


class NotAdmittedError(PrivacyRefusedError):
    """The coordinator does not know this site's key, any more or at this time of day."""


class RejectedError(FederationError):
    """The coordinator answered that it cannot do this; asking again does not help."""


@dataclass(frozen=True)
class WaitingMessage:
    """A message that waits to be pulled.

    Attributes:
        run_id: Flower's run.
        message_id: its object id, a SHA-256.
        header: the message without content, as Flower's protobuf.
        object_ids: of all its parts, itself included.
    """

    run_id: int
    message_id: str
    header: bytes
    object_ids: tuple[str, ...]


@dataclass(frozen=True)
class Outgoing:
    """A reply that is ready to be pushed.

    Attributes:
        run_id: Flower's run.
        header: the message without content.
        tree: ids of its parts.
        objects: content by id.
    """

    run_id: int
    header: bytes
    tree: bytes
    objects: dict[str, bytes]


class Fleet:
    """The connection of one site.

    Args:
        address: `host:port`.
        trusted: TLS under the only authority that is trusted.
        node_key: PEM of the site's private node key.
        node_id: as the coordinator gave it when the site joined.
    """

    def __init__(self, address: str, trusted: ssl.SSLContext, node_key: bytes, node_id: int) -> None:
        key = load_pem_private_key(node_key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PrivacyRefusedError(
                "The node key is not an elliptic-curve key: restore it from its backup."
            )
        self._public_key = _public_pem(key)
        self._client = FleetHttpClient(
            f"https://{address}",
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
            verify=trusted,
        )
        # Flower follows redirects, and a coordinator could so have this site ask other hosts.
        self._client._client.follow_redirects = False
        self._address = address
        self._node = Node(node_id=node_id)
        self._connected = False

    def connect(self) -> None:
        """Say that the site is here.

        Raises:
            UnreachableError, NotAdmittedError, RejectedError.
        """
        request = ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS)
        with self._told():
            answer = self._client.ActivateNode(request)
        if answer.node_id != self._node.node_id:
            raise NotAdmittedError(
                f"The coordinator at {self._address} knows this site's key under another number: join again."
            )
        self._connected = True

    def heartbeat(self) -> bool:
        """Say that the site is still here; False where the coordinator has forgotten it: connect again."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        with self._told():
            return bool(self._client.SendNodeHeartbeat(request).success)

    def receive(self) -> WaitingMessage | None:
        """The next message, or None: returns at once."""
        with self._told():
            answer = self._client.PullMessages(PullMessagesRequest(node=self._node))
        if not answer.messages_list:
            return None
        message, tree = answer.messages_list[0], answer.message_object_trees[0]
        return WaitingMessage(
            run_id=message.metadata.run_id,
            message_id=tree.object_id,
            header=message.SerializeToString(),
            object_ids=tuple(dict.fromkeys(_ids(tree))),
        )

    def pull(self, incoming: WaitingMessage, limit: int, parts: dict[str, bytes]) -> None:
        """Add to `parts`, content by id, those of a message that are not there yet.

        Where the connection breaks, what had come stays in `parts`: called again, it goes on at the part that broke.

        Raises:
            RejectedError: a part is missing, or together they have more than `limit` bytes.
        """
        for object_id in incoming.object_ids:
            if object_id not in parts:
                parts[object_id] = self._part(incoming, object_id)
            if sum(map(len, parts.values())) > limit:
                raise RejectedError(
                    f"A message has more than the {limit} bytes that runtime.message_bytes of the site file allows: "
                    "raise it if the study's model is truly that large."
                )

    def _part(self, incoming: WaitingMessage, object_id: str) -> bytes:
        request = PullObjectRequest(node=self._node, run_id=incoming.run_id, object_id=object_id)
        end = time.monotonic() + UPLOAD_SECONDS
        while True:
            with self._told():
                answer = self._client.PullObject(request)
            if answer.object_found and answer.object_available:
                return bytes(answer.object_content)
            # A message can be seen before its parts have all been uploaded.
            if not answer.object_found or time.monotonic() > end:
                raise RejectedError("A part of a message is not at the coordinator: it will ask again.")
            time.sleep(UPLOAD_POLL_SECONDS)

    def confirm(self, incoming: WaitingMessage) -> None:
        """Say that a message has arrived; the coordinator may forget its parts."""
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=incoming.run_id, message_object_id=incoming.message_id
        )
        with self._told():
            self._client.ConfirmMessageReceived(request)

    def send(self, outgoing: Outgoing, seconds: float) -> int:
        """Push a reply that took `seconds` to make; returns the bytes of the parts that were sent."""
        request = PushMessagesRequest(
            node=self._node,
            messages_list=[Message.FromString(outgoing.header)],
            message_object_trees=[ObjectTree.FromString(outgoing.tree)],
            clientapp_runtime_list=[seconds],
        )
        with self._told():
            answer = self._client.PushMessages(request)
        sent = 0
        for object_id in answer.objects_to_push:
            content = outgoing.objects[object_id]
            part = PushObjectRequest(
                node=self._node,
                run_id=outgoing.run_id,
                object_id=object_id,
                object_content=content,
                session_id=answer.session_id,
            )
            with self._told():
                stored = self._client.PushObject(part).stored
            if not stored:
                raise RejectedError("The coordinator no longer wants a reply: its time had passed.")
            sent += len(content)
        return sent

    def close(self) -> None:
        """Say good-bye if the coordinator listens, so that it need not wait for this site."""
        if self._connected:
            with contextlib.suppress(FederationError, PrivacyRefusedError), self._told():
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=self._node.node_id))
            self._connected = False

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RejectedError(
                    f"What answers at {self._address} has a certificate that the authority pinned when joining did not "
                    "sign, or for another name, or that has ended: `fedgen-client check` says which."
                ) from error
            raise UnreachableError(
                f"The coordinator at {self._address} does not answer ({type(error).__name__}): see that it runs and "
                "that this machine may connect to it."
            ) from error
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            if code == httpx.codes.UNAUTHORIZED:
                raise NotAdmittedError(
                    f"The coordinator at {self._address} does not admit this site: it was removed, or the clocks "
                    "differ by more than five minutes; `fedgen-client check` says which."
                ) from error
            if code in (502, 503, 504):
                raise UnreachableError(
                    f"The coordinator behind {self._address} is not there now (HTTP {code})."
                ) from error
            raise RejectedError(
                f"The coordinator at {self._address} answered HTTP {code} to a message of this site."
            ) from error
        except ValueError as error:
            raise RejectedError(f"What answers at {self._address} is not a fedgen coordinator.") from error


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return public_key_to_bytes(key.public_key())


def _ids(tree: ObjectTree) -> list[str]:
    # Children first, as Flower sends them.
    return [*(found for child in tree.children for found in _ids(child)), tree.object_id]
