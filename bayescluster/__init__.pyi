from . import (
    analysis as analysis,
)
from . import (
    answers as answers,
)
from . import (
    assignment as assignment,
)
from . import (
    bayes as bayes,
)
from . import (
    checks as checks,
)
from . import (
    data as data,
)
from . import (
    decisions as decisions,
)
from . import (
    design as design,
)
from . import (
    errors as errors,
)
from . import (
    exposure as exposure,
)
from . import (
    figures as figures,
)
from . import (
    frequentist as frequentist,
)
from . import (
    report as report,
)
from . import (
    simulate as simulate,
)
from . import (
    spec as spec,
)
from .analysis.analysis import (
    Analysis as Analysis,
)
from .analysis.analysis import (
    analyze as analyze,
)
from .analysis.scorecard import scorecard as scorecard
from .answers.method_comparison import (
    Comparison as Comparison,
)
from .answers.method_comparison import (
    compare as compare,
)
from .answers.rollout import rollout as rollout
from .bayes.exact.fit_exact import fit_exact as fit_exact
from .bayes.fit import fit as fit
from .bayes.pymc_model import build_model as build_model
from .checks.check_registry import diagnose as diagnose
from .data.cell_counts import CellCounts as CellCounts
from .data.cluster_moments import ClusterMoments as ClusterMoments
from .data.experiment import Experiment as Experiment
from .decisions.decision import decide as decide
from .errors import BayesClusterError as BayesClusterError
from .exposure.expose import (
    Exposure as Exposure,
)
from .exposure.expose import (
    expose as expose,
)
from .frequentist.cluster_bootstrap import cluster_bootstrap as cluster_bootstrap
from .frequentist.ols import ols as ols
from .frequentist.randomization import randomization_test as randomization_test
from .frequentist.standard_regressions import (
    cluster_wls as cluster_wls,
)
from .frequentist.standard_regressions import (
    naive_ols as naive_ols,
)
from .frequentist.standard_regressions import (
    two_exposure as two_exposure,
)
from .frequentist.wild_cluster_bootstrap import wild_bootstrap as wild_bootstrap
from .report.model_card.model_card import model_card as model_card
from .report.show import show as show
from .simulate.spillover_scenario import (
    load_tutorial as load_tutorial,
)
from .simulate.spillover_scenario import (
    tutorial_spec as tutorial_spec,
)
from .spec.model_spec import (
    ModelSpec as ModelSpec,
)
from .spec.model_spec import (
    load_spec as load_spec,
)
from .spec.priors import Prior as Prior

__version__: str
