"""What can go wrong, by what a person or the workflow should do about it."""


class HarvestError(Exception):
    """Base class: the message tells a person what was found, what was expected and what to do next."""


class InputError(HarvestError):
    """The user's own input (CSV, configuration, command line) is wrong: correct it and run again."""


class MalformedFile(HarvestError):
    """A file is there and was read, but is not what its format says (torn, truncated, HTML, wrong columns)."""


class Absent(HarvestError):
    """The archive says, twice, that there is no such file. A result to record, not a failure."""


class ArchiveRefused(HarvestError):
    """The archive answered with something that trying again will not change (401, 403, bad certificate)."""


class ArchiveUnavailable(HarvestError):
    """The archive could not be read for now (timeouts, resets, 429, 5xx) although it was tried again and again."""


class BudgetSpent(HarvestError):
    """As many bytes have been read as may be: of a check, which answers its other questions without this file."""
