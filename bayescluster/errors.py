"""The package's errors, all subclasses of :class:`BayesClusterError`.

Each message says what is wrong, where (column, cluster, number of rows) and what to do about it.
"""

from __future__ import annotations


class BayesClusterError(Exception):
    """Base class of all errors that bayescluster raises on purpose."""


class SpecError(BayesClusterError, ValueError):
    """A model specification is invalid: unknown key, impossible prior, contradictory roles."""


class DataError(BayesClusterError, ValueError):
    """The data are not valid for the analysis."""


class MissingColumnError(DataError):
    """A column that the specification names is not in the data."""


class ColumnTypeError(DataError):
    """A column holds values of a type that its role does not allow."""


class MissingValueError(DataError):
    """A column holds null, NaN or infinite values."""


class TreatmentError(DataError):
    """The treatment is not 0/1, or it varies within a cluster."""


class SpilloverError(DataError):
    """The spillover exposure is outside [0, 1], or not 0 for treated units."""


class OutcomeError(DataError):
    """The outcome holds values outside its family's support."""


class DuplicateUnitError(DataError):
    """A unit occurs in more than one row."""


class StrataError(DataError):
    """A cluster belongs to more than one stratum, or a stratum is null."""


class DesignError(DataError):
    """The design cannot answer the question: an arm is empty or has a single cluster."""


class IdentificationError(DesignError):
    """A coefficient is not identified: the regressors are collinear or constant."""


class FitError(BayesClusterError, RuntimeError):
    """A sampler could not produce a posterior."""
