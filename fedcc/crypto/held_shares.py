"""Shares of other sites' one-time entries: held by place, erased with use, joined to recover.

They live in memory alone. A share is handed out by dealer, entry and part; which of them a site may
give is decided by whoever asks, and nothing outside the entry is within reach.
"""

from collections.abc import Callable, Mapping

from fedcc.crypto import shamir
from fedcc.crypto.entries import PART_BYTES, SELF, Epoch
from fedcc.errors import EnvelopeError, ProtocolError


class HeldShares:
    """The shares that a site holds of the others' entries; never written to disk."""

    def __init__(self, epoch: Epoch, point: int) -> None:
        """Hold nothing yet; `point` is where this site's shares lie on every polynomial."""
        self.epoch, self.point = epoch, point
        self._first = epoch.first_entry  # below it everything is erased
        self._of: dict[str, bytearray] = {}

    def take(self, dealer: str, content: bytes) -> None:
        """Keep what one site dealt.

        Raises:
            ProtocolError: if that site dealt before: a replay would bring erased shares back.
            EnvelopeError: if it has the wrong length.
        """
        if dealer in self._of:
            raise ProtocolError("a site dealt its shares twice")
        if len(content) != self.epoch.share_bytes:
            raise EnvelopeError("the shares of a site have the wrong length")
        self._of[dealer] = bytearray(content)

    @property
    def dealers(self) -> frozenset[str]:
        """The sites whose shares are held."""
        return frozenset(self._of)

    def mask_key(self, dealer: str, number: int) -> bytes:
        """Return the share of a mask key, or nothing if it never came or was erased.

        Raises:
            ProtocolError: if the epoch has no such entry.
        """
        return self._part(dealer, number, 0)

    def seed(self, dealer: str, number: int, part: int) -> bytes:
        """Return the share of a seed, or nothing if it never came or was erased.

        Raises:
            ProtocolError: if the epoch has no such entry, or an entry no such seed. Its neighbours
                in memory are shares of mask keys.
        """
        if not SELF <= part <= self.epoch.n_excess:
            raise ProtocolError("an entry has no such seed")
        return self._part(dealer, number, 1 + part)

    def _part(self, dealer: str, number: int, place: int) -> bytes:
        start = (
            self.epoch.index(number) * (2 + self.epoch.n_excess) * PART_BYTES + PART_BYTES * place
        )
        if dealer not in self._of or number < self._first:
            return b""
        return bytes(self._of[dealer][start : start + PART_BYTES])

    def erase_before(self, number: int) -> None:
        """Overwrite the shares of all entries below a number."""
        index = min(max(number - self.epoch.first_entry, 0), self.epoch.n_entries)
        size = min(index * (2 + self.epoch.n_excess) * PART_BYTES, self.epoch.share_bytes)
        for held in self._of.values():
            held[:size] = bytes(size)
        self._first = max(self._first, number)


def recover(
    shares: Mapping[int, bytes], threshold: int, is_right: Callable[[bytes], bool]
) -> bytes | None:
    """Return a key or seed from its shares, or `None` if they do not give the right one.

    A site may hand over a wrong share. The first `threshold` shares are tried, then as many times
    again with one of them left out for another, where there are more.

    Args:
        shares: by point; one of another length, or all zeros, counts as missing.
        threshold: how many give the secret back.
        is_right: tells whether a result is what was committed to.
    """
    given = {
        point: share for point, share in shares.items() if len(share) == PART_BYTES and any(share)
    }
    if len(given) < threshold:
        return None
    tries: list[Mapping[int, bytes]] = [given]
    if len(given) > threshold:
        tries += [{p: s for p, s in given.items() if p != left_out} for left_out in sorted(given)]
    for chosen in tries:
        secret = shamir.combine(chosen, threshold=threshold)
        if is_right(secret):
            return secret
    return None
