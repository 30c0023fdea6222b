"""What can go wrong between the service and its database.

StorageError
├─ StorageUnavailable   the database cannot be reached, read or written
├─ NewerDatabase        a later version of Headrace has migrated it
├─ DatabaseHeld         another process is using it
├─ NotStored            one record was refused; its neighbours are safe
└─ KeyConflict          an idempotency key came again with another body
"""


class StorageError(Exception):
    """Say in `message` what was wrong with the database, the value, and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StorageUnavailable(StorageError):
    """Tell that the database cannot be reached, read or written."""


class NewerDatabase(StorageError):
    """Tell that the database carries a revision that this version does not know."""


class DatabaseHeld(StorageError):
    """Tell that another process holds the database."""


class NotStored(StorageError):
    """Tell that a record was refused and nothing of it is stored."""


class KeyConflict(StorageError):
    """Tell that an idempotency key was used before with another body."""
