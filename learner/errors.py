"""What the learner refuses, and why.

LearnerError
├─ NoEligibleArm          the filters of a request (limits, capabilities, globs) left no arm
├─ FeatureMismatch        a context has another length or feature version than the state
├─ InvalidObservation     a reward, propensity or arm is out of range or unknown
└─ SnapshotIncompatible   a snapshot is damaged, or of another schema
"""


class LearnerError(Exception):
    """Root of all errors of this package."""


class NoEligibleArm(LearnerError):
    """No arm of the pool may answer this request; the message says which filter removed the last one."""


class FeatureMismatch(LearnerError):
    """A context does not fit the features of this state."""


class InvalidObservation(LearnerError):
    """An observation is out of range or names an unknown arm."""


class SnapshotIncompatible(LearnerError):
    """A snapshot cannot be loaded by this version."""
