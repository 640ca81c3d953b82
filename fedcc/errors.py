"""The errors that fedcc raises on purpose, and the exit code that each of them ends with.

Every message names the place (file, row, key) and the remedy and never holds a customer's content.
`ValueError` and `TypeError` stay reserved for a wrong argument, that is, for a bug of the caller.
"""


class FedccError(Exception):
    """Root of all errors that a user can meet; carries the exit code of the command line."""

    exit_code = 1
    outcome = "failed"


class ConfigError(FedccError):
    """A key, an option or a value of the configuration cannot be used."""

    exit_code = 2


class RecordError(FedccError):
    """Opening or checking data found something that fedcc refuses to train on."""

    exit_code = 3


class BudgetExceeded(FedccError):
    """The next step would spend more epsilon than the ledger's budget allows."""

    exit_code = 4
    outcome = "budget"


class PolicyViolation(FedccError):
    """A plan asks for something that the site does not admit."""

    exit_code = 5
    outcome = "vetoed"


class ProtocolError(FedccError):
    """A message is out of order, stale, repeated or disagrees with what was signed."""

    exit_code = 6
    outcome = "integrity"


class EnvelopeError(ProtocolError):
    """A sealed message was altered, is not signed by the site it names, or does not decrypt."""


class TooFewSites(FedccError):
    """Fewer sites than the plan demands took part, and no retry is left."""

    exit_code = 7
    outcome = "too_few_sites"


class Interrupted(FedccError):
    """The user stopped the run; `--resume` continues it."""

    exit_code = 130
    outcome = "interrupted"
