from .gallery_examples import example as example
from .graph_scenario import GraphScenario as GraphScenario
from .spillover_scenario import Scenario as Scenario
from .synthetic_experiment import SyntheticExperiment as SyntheticExperiment
