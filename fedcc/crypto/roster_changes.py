"""How a signed roster changes: sites are added, revoked and take new keys.

Every change returns a new roster with the next serial, which names the one before it; nothing is
signed or written here. A key that was ever in a roster and left it never comes back.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from fedcc.crypto.cards import Card, HandOver
from fedcc.crypto.consortium import (
    NO_PREVIOUS,
    RevokedKey,
    Roster,
    RosterSite,
    check_consistent,
    only_admin,
)
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import check_fingerprint, check_name, when
from fedcc.errors import ConfigError, ProtocolError


def create(admin: Identity, consortium: str, now: datetime) -> Roster:
    """Return the first, empty roster of a consortium."""
    return Roster(
        consortium=check_name(consortium, "consortium"),
        admin=only_admin(admin).public,
        serial=1,
        issued_at=when(now),
        previous=NO_PREVIOUS,
        sites=(),
        revoked=(),
    )


def add(roster: Roster, card: Card, organisation: str, read_aloud: str, now: datetime) -> Roster:
    """Return the next roster, with one more site.

    Args:
        roster: the present one.
        card: of the site.
        organisation: that runs the site, by the admin's own knowledge and not by the card's word.
        read_aloud: the fingerprint that the site's operator read over the phone.
        now: when.

    Raises:
        ConfigError: if the site is in the roster, or no name or fingerprint was given.
        ProtocolError: if the card is not the site's own, or its key may not take part.
    """
    if card.role != "site":
        raise ConfigError(f"the card of {card.name} is that of an admin. Add the card of a site.")
    check_fingerprint(read_aloud, card.identity, f"the card of {card.name}")
    if card.name in roster.identities():
        raise ConfigError(
            f"{card.name} is in the roster. Apply its hand-over, or revoke it before it is added."
        )
    organisation = check_name(organisation, "--organisation")
    one = RosterSite(card.name, organisation, card.identity, when(now))
    return _next(roster, (*roster.sites, one), roster.revoked, now)


def revoke(roster: Roster, site: str, now: datetime) -> Roster:
    """Return the next roster, without a site; its key never takes part again.

    Raises:
        ConfigError: if there is no such site.
    """
    gone = _find(roster, site)
    others = tuple(one for one in roster.sites if one.site != site)
    key = RevokedKey(site, gone.identity, when(now))
    return _next(roster, others, (*roster.revoked, key), now)


def apply_hand_over(roster: Roster, hand_over: HandOver, now: datetime) -> Roster:
    """Return the next roster, with a site's new identity in place of its old one, now revoked.

    Raises:
        ConfigError: if there is no such site.
        ProtocolError: if the old identity is not the site's, or the new one may not take part.
    """
    present = _find(roster, hand_over.name)
    if present.identity != hand_over.old:
        raise ProtocolError(
            f"the hand-over is not from the identity that the roster has of {present.site}. Revoke "
            "the site, ask it for a card, and add it anew."
        )
    renewed = replace(present, identity=hand_over.new)
    sites = tuple(renewed if one is present else one for one in roster.sites)
    key = RevokedKey(present.site, present.identity, when(now))
    return _next(roster, sites, (*roster.revoked, key), now)


def _find(roster: Roster, site: str) -> RosterSite:
    for one in roster.sites:
        if one.site == site:
            return one
    known = ", ".join(one.site for one in roster.sites) or "none"
    raise ConfigError(f"the roster has no site of that name; it has {known}.")


def _next(
    roster: Roster, sites: Iterable[RosterSite], revoked: Iterable[RevokedKey], now: datetime
) -> Roster:
    following = replace(
        roster,
        serial=roster.serial + 1,
        issued_at=when(now),
        previous=roster.sha256,
        sites=tuple(sorted(sites, key=lambda one: one.site)),
        revoked=tuple(sorted(revoked, key=lambda one: one.identity)),
    )
    check_consistent(following, "the roster")
    return following
