"""A site's two secrets as shares: sealed for each other site with commitments, and opened again there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag

from fedgen_privacy.errors import FederationError
from fedgen_privacy.secagg import keys, shamir
from fedgen_privacy.secagg.messages import SHARE, Envelope

#: Shares of the self-mask seed and of the mask key.
Shares = tuple[bytes, bytes]


class SharesError(FederationError):
    """Shares that their recipient cannot accept; the text is the reason."""


def deal(
    session: bytes,
    sender: int,
    secrets: tuple[bytes, bytes],
    threshold: int,
    sites: int,
    recipients: Iterable[int],
    channel: Callable[[int], bytes],
) -> tuple[list[Envelope], Shares]:
    """Envelopes for the recipients, yet unsigned, and the shares that the sender keeps of its own secrets.

    Args:
        secrets: the self-mask seed and the mask key, 32 bytes each.
        threshold: t.
        sites: n, of the roster; a site's share is the one at its number + 1.
        channel: recipient to the secret shared with it.
    """
    seed, mask_key = secrets
    seed_shares = shamir.split(seed, threshold, sites)
    key_shares = shamir.split(mask_key, threshold, sites)
    commitment = keys.seed_commitment(session, sender, seed)
    envelopes = [
        Envelope(
            session=session,
            sender=sender,
            recipient=to,
            seed_commitment=commitment,
            seed_share_commitment=keys.share_commitment(session, b"seed", sender, to, seed_shares[to]),
            key_share_commitment=keys.share_commitment(session, b"key", sender, to, key_shares[to]),
            ciphertext=keys.seal(channel(to), session, sender, to, seed_shares[to] + key_shares[to]),
        )
        for to in recipients
    ]
    return envelopes, (seed_shares[sender], key_shares[sender])


def receive(session: bytes, recipient: int, envelope: Envelope, channel: bytes) -> Shares:
    """The shares in an envelope whose signature was verified.

    Raises:
        SharesError: they are from elsewhere, cannot be opened, or are not those that were committed to.
    """
    sender = envelope.sender
    if (envelope.session, envelope.recipient) != (session, recipient):
        raise SharesError("shares came from another session or for another site")
    try:
        plain = keys.unseal(channel, session, sender, recipient, envelope.ciphertext)
    except InvalidTag:
        raise SharesError("shares could not be opened") from None
    shares = plain[:SHARE], plain[SHARE:]
    committed = envelope.seed_share_commitment, envelope.key_share_commitment
    for what, share, commitment in zip((b"seed", b"key"), shares, committed, strict=True):
        if keys.share_commitment(session, what, sender, recipient, share) != commitment:
            raise SharesError("shares are not those their site committed to")
    return shares
