"""The cluster-robust path: least squares from moments, and the cluster bootstrap."""

from .bootstrap import BootstrapEstimates, cluster_bootstrap
from .estimates import Estimates
from .estimators import cluster_wls, naive_ols, two_exposure
from .influence import effective_clusters, influence
from .inversion import ResamplingTest
from .ols import WaldTest, ols, wald_test
from .randomization import randomization_test
from .wild import wild_bootstrap

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
