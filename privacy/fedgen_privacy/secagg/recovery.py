"""From the shares of an UNMASK to the masks that are still in the sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedgen_privacy.secagg import keys, shamir
from fedgen_privacy.secagg.errors import Phase, SecAggAborted
from fedgen_privacy.secagg.messages import Advert, Envelope, UnmaskReply


@dataclass(frozen=True)
class Dealing:
    """What one site of the session gave out.

    Attributes:
        site: number.
        advert: its keys.
        envelopes: by recipient, with the commitments to every share.
        survived: whether its vector is in the sum.
    """

    site: int
    advert: Advert
    envelopes: Mapping[int, Envelope]
    survived: bool

    def commits_to(self, session: bytes, holder: int, share: bytes) -> bool:
        """Whether `share`, returned by `holder`, is the one that was dealt; a site's own share has no commitment."""
        if holder == self.site:
            return True
        envelope = self.envelopes.get(holder)
        if envelope is None:
            return False
        if self.survived:
            return envelope.seed_share_commitment == keys.share_commitment(
                session, b"seed", self.site, holder, share
            )
        return envelope.key_share_commitment == keys.share_commitment(
            session, b"key", self.site, holder, share
        )


@dataclass(frozen=True)
class RecoveredMasks:
    """Keys of the masks in the sum: those that sites added and those they subtracted; and who sent wrong shares."""

    added: list[bytes] = field(default_factory=list)
    subtracted: list[bytes] = field(default_factory=list)
    liars: set[int] = field(default_factory=set)


def recovered_masks(
    dealings: Sequence[Dealing],
    replies: Mapping[int, UnmaskReply],
    session: bytes,
    threshold: int,
    names: Sequence[str],
) -> RecoveredMasks:
    """Keys of every self mask of a survivor, and of every mask a survivor shares with a site that dropped out.

    Raises:
        SecAggAborted: too few valid shares, or a dealing that does not give the secret its site committed to;
            names whom the commitments convict.
    """
    masks = RecoveredMasks()
    secrets: dict[int, bytes] = {}
    returned = {holder: dict(reply.shares) for holder, reply in replies.items()}
    for dealing in dealings:
        shares: dict[int, bytes] = {}
        for holder, own in returned.items():
            given = own.get(dealing.site)
            if given is not None and dealing.commits_to(session, holder, given):
                shares[holder + 1] = given
            else:
                masks.liars.add(holder)
        secrets[dealing.site] = _secret(dealing, shares, session, threshold, masks.liars, names)
    for dealing in dealings:
        if dealing.survived:
            masks.added.append(keys.self_mask_key(secrets[dealing.site], session, dealing.site))
            continue
        mask_key = X25519PrivateKey.from_private_bytes(secrets[dealing.site])
        for peer in dealings:
            if peer.survived:
                shared = keys.agree(mask_key, peer.advert.mask_key)
                # The peer itself agreed on it with the same two keys, so there is a secret.
                assert shared is not None
                key = keys.pair_mask_key(shared, session, dealing.site, peer.site)
                (masks.added if peer.site < dealing.site else masks.subtracted).append(key)
    return masks


def _secret(
    dealing: Dealing,
    shares: Mapping[int, bytes],
    session: bytes,
    threshold: int,
    liars: set[int],
    names: Sequence[str],
) -> bytes:
    def recover(points: Sequence[int]) -> bytes | None:
        secret = shamir.combine({point: shares[point] for point in points})
        return secret if secret is not None and _is_dealt(dealing, secret, session) else None

    if len(shares) < threshold:
        raise SecAggAborted(
            Phase.UNMASK,
            f"{len(shares)} valid shares came for {names[dealing.site]}, fewer than {threshold}",
            [names[liar] for liar in liars],
        )
    # A survivor's share of its own secret is the one share nobody committed to: tried without it first.
    others = sorted(shares, key=lambda point: (point == dealing.site + 1, point))
    secret = recover(others[:threshold])
    if secret is None:
        own_used = dealing.site + 1 in others[:threshold]
        raise SecAggAborted(
            Phase.UNMASK,
            f"the shares that {names[dealing.site]} dealt do not give the secret it committed to"
            + (", or its own share is not the one it dealt to the others" if own_used else ""),
            [names[dealing.site]],
        )
    return secret


def _is_dealt(dealing: Dealing, secret: bytes, session: bytes) -> bool:
    if dealing.survived:
        commitments = {envelope.seed_commitment for envelope in dealing.envelopes.values()}
        return commitments == {keys.seed_commitment(session, dealing.site, secret)}
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return public == dealing.advert.mask_key
