from .scorecard import Scorecard as Scorecard
