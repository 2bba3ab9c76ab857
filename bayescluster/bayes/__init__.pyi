from .convergence_checks import convergence as convergence
from .exact.exact_posterior import (
    ExactPosterior as ExactPosterior,
)
from .exact.exact_posterior import (
    exact_posterior as exact_posterior,
)
from .exact.fit_exact import exact_posteriors as exact_posteriors
