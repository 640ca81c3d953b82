"""Why rows were left out, in words, with the key of the data YAML that decides it."""

from collections.abc import Mapping

NOT_KEPT = "not_kept"  # beside the reasons of the gates: rows that `keep_rows` leaves out
_REASONS = {
    NOT_KEPT: "outside keep_rows",
    "consent_status": "without a granted consent (consent.granted_values)",
    "consent_scope": "whose consent does not name the required scope (consent.required_scope)",
    "consent_time": "without a past consent time with a time of day (consent.columns.at)",
    "consent_time_zone": "whose consent time has no zone (consent.time_zone)",
    "duplicate": "that repeat an earlier row (drop_rows.duplicates)",
    "multi_label": "with several labels (drop_rows.multi_label: first keeps them)",
    "label": "whose label is empty or not among the declared values (values of the label column)",
    "out_of_bounds": "with a value outside its declared domain (bounds, values or missing)",
}


def described(left_out: Mapping[str, int]) -> str:
    """Return a sentence with the number of rows left out by each reason, most frequent first.

    Args:
        left_out: rows by reason, the keys of `GateCounts.refused` and `NOT_KEPT`.

    Returns:
        A blank and the sentence, or nothing where no row was left out.
    """
    counts = sorted(((count, reason) for reason, count in left_out.items() if count), reverse=True)
    if not counts:
        return ""
    parts = [f"{count} {_REASONS[reason]}" for count, reason in counts]
    return f" Rows left out: {'; '.join(parts)}."
