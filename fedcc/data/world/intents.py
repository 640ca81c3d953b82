"""The matters that customers call about: names, words, how frequent and how hard to settle.

All figures are invented but ordered as in a real contact centre: bills and connections dominate,
faults and disputes are settled at the first contact less often than questions are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Topic = Literal["billing", "contract", "line", "network", "security", "service"]
TOPICS: tuple[Topic, ...] = ("billing", "contract", "line", "network", "security", "service")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One matter; `share` is its weight in an average centre, `settled` how often one contact does.

    `fits` names the products (see `places.PRODUCTS`) of the customers who ask for it.
    """

    name: str
    words: str
    topic: Topic
    share: float
    settled: float
    fits: str = "mobile broadband bundle prepaid"


def _intent(
    name: str, words: str, topic: Topic, share: float, settled: float, fits: str = ""
) -> Intent:
    if not fits:
        return Intent(name=name, words=words, topic=topic, share=share, settled=settled)
    return Intent(name=name, words=words, topic=topic, share=share, settled=settled, fits=fits)


_PAID_LATER = "mobile broadband bundle"
_MOBILE = "mobile bundle prepaid"
_FIXED = "broadband bundle"

CATALOGUE: tuple[Intent, ...] = (
    _intent("bill_explanation", "have the bill explained", "billing", 6.5, 0.86, _PAID_LATER),
    _intent("bill_dispute", "dispute a charge on the bill", "billing", 5.5, 0.62, _PAID_LATER),
    _intent("make_payment", "pay a bill", "billing", 4.5, 0.95, _PAID_LATER),
    _intent("payment_extension", "get more time to pay", "billing", 3.0, 0.80, _PAID_LATER),
    _intent("payment_method", "change how bills are paid", "billing", 2.5, 0.93),
    _intent("refund", "get money back or ask where a refund is", "billing", 3.0, 0.66),
    _intent("tariff_advice", "find a better plan", "contract", 4.0, 0.84),
    _intent("upgrade_device", "get a new device", "contract", 3.0, 0.82, "mobile bundle"),
    _intent("contract_end", "ask when the contract ends", "contract", 3.0, 0.94, _PAID_LATER),
    _intent("cancel_service", "cancel the contract", "contract", 3.2, 0.70),
    _intent("add_line", "add another line", "contract", 2.0, 0.87),
    _intent("move_house", "take the service to a new home", "contract", 2.4, 0.78, _FIXED),
    _intent("port_in", "bring a number from another operator", "line", 2.6, 0.74, _MOBILE),
    _intent("port_out", "take a number to another operator", "line", 2.0, 0.80, _MOBILE),
    _intent("sim_replacement", "replace or activate a SIM card", "line", 3.2, 0.88, _MOBILE),
    _intent("lost_or_stolen", "block a lost or stolen phone", "line", 2.2, 0.90, _MOBILE),
    _intent("roaming", "use the phone abroad", "line", 3.0, 0.85, _MOBILE),
    _intent("international_calls", "call a number in another country", "line", 1.8, 0.86),
    _intent("data_top_up", "buy more mobile data or credit", "line", 3.4, 0.94, _MOBILE),
    _intent("voicemail", "set up or reach the voicemail", "line", 1.8, 0.88, _MOBILE),
    _intent("no_signal", "mend a phone without signal", "network", 4.0, 0.58, _MOBILE),
    _intent("slow_internet", "mend a slow connection", "network", 5.5, 0.56),
    _intent("outage", "report that the service is down", "network", 4.5, 0.52),
    _intent("router_setup", "set up the router or the wifi", "network", 3.4, 0.83, _FIXED),
    _intent("technician_visit", "book or move a technician's visit", "network", 3.2, 0.79, _FIXED),
    _intent("parental_control", "block content for children", "security", 1.6, 0.88),
    _intent("password_reset", "get back into the online account", "security", 3.6, 0.93),
    _intent("fraud_report", "report fraud or a scam", "security", 2.2, 0.64),
    _intent("privacy_request", "see or delete personal data", "security", 1.4, 0.82),
    _intent("complaint", "make a complaint", "service", 3.6, 0.48),
    _intent("speak_to_agent", "speak to a person", "service", 2.4, 0.76),
)

INTENTS: tuple[str, ...] = tuple(intent.name for intent in CATALOGUE)
INTENT_WORDS: Mapping[str, str] = {intent.name: intent.words for intent in CATALOGUE}
"""Intent to its words, for reports."""

COMPLAINT = INTENTS.index("complaint")
OUTAGE = INTENTS.index("outage")
EXITS: tuple[int, ...] = (INTENTS.index("cancel_service"), INTENTS.index("port_out"))
"""Matters of customers who are about to leave."""
