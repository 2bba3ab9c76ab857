"""The design of an experiment: how clusters are assigned to arms."""

from .assignment import Assignment, Bernoulli, Complete, Custom, Rerandomised, Stratified

__all__ = ["Assignment", "Bernoulli", "Complete", "Custom", "Rerandomised", "Stratified"]
