"""What the harvests of all surveys share: description, plan, extraction, ledger, journal."""
