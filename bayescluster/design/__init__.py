"""The design of an experiment: how clusters are assigned to arms."""

from .acceptance import Bernoulli, Rerandomised
from .assignment import Assignment, Complete, Custom, Stratified

__all__ = ["Assignment", "Bernoulli", "Complete", "Custom", "Rerandomised", "Stratified"]
