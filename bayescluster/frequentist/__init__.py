"""The cluster-robust path: least squares from moments, and the cluster bootstrap."""

from .cluster_bootstrap import BootstrapEstimates, cluster_bootstrap
from .cluster_influence import effective_clusters, influence
from .estimates_record import Estimates
from .inverted_tests import ResamplingTest
from .ols import WaldTest, ols, wald_test
from .randomization import randomization_test
from .standard_estimators import cluster_wls, naive_ols, two_exposure
from .wild_cluster_bootstrap import wild_bootstrap

__all__ = [
    "BootstrapEstimates",
    "Estimates",
    "ResamplingTest",
    "WaldTest",
    "cluster_bootstrap",
    "cluster_wls",
    "effective_clusters",
    "influence",
    "naive_ols",
    "ols",
    "randomization_test",
    "two_exposure",
    "wald_test",
    "wild_bootstrap",
]
