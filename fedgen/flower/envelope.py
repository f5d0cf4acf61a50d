"""Between the bytes of a Fleet message and Flower's `Message`, in a site's worker.

Private names used: Flower's inflatable objects, the form in which content travels, and `TaskIdentity`, without which
Flower lets nobody make a message. Inflating builds records of numbers and bytes; it imports and executes nothing.
"""

from __future__ import annotations

from flwr.app import Error, Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from fedgen.errors import FederationError
from fedgen.flower import Trouble


def identify(run_id: int, node_id: int) -> None:
    """Tell Flower for which run and node this process makes replies."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = node_id
    TaskIdentity.task_id = 0


def open_message(message_id: str, objects: dict[str, bytes]) -> Message:
    """The message whose parts came.

    Raises:
        FederationError: a part has not the content that its id is the hash of, or the parts are no message.
    """
    for object_id, content in objects.items():
        if get_object_id(content) != object_id:
            raise FederationError("A part of a message does not have the hash that it was announced with.")
    try:
        message = inflate_object_from_contents(message_id, dict(objects))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise FederationError(f"A message could not be opened ({type(error).__name__}).") from None
    if not isinstance(message, Message):
        raise FederationError("What came is no message.")
    message.metadata.__dict__["_message_id"] = message_id
    return message


def seal_message(message: Message) -> tuple[bytes, bytes, dict[str, bytes]]:
    """A reply's header, tree of ids, and parts."""
    message.metadata.__dict__["_message_id"] = message.object_id
    header = message_to_proto(remove_content_from_message(message)).SerializeToString()
    with no_object_id_recompute():
        tree = get_object_tree(message).SerializeToString()
        objects = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}
    return header, tree, objects


def refuse_message(header: bytes, reason: Trouble) -> tuple[bytes, bytes, dict[str, bytes]]:
    """An error reply to a message that could not be opened, so that the coordinator need not wait for its deadline.

    Args:
        header: the message without content.
        reason: told the coordinator.
    """
    asked = message_from_proto(ProtoMessage.FromString(header))
    identify(asked.metadata.run_id, asked.metadata.dst_node_id)
    return seal_message(Message(Error(ErrorCode.CLIENT_APP_CRASHED, reason.value), reply_to=asked))
