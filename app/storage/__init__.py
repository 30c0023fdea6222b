"""Everything that outlives the process: the tables, the one writer of the journal, and every query.

The journal stores what the learner learns from, in one order; the repository reads it back; `migrate` brings a
database to the shape that this version expects. Only this package knows SQL.
"""
