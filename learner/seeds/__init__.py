"""The seed taxonomy: what people ask a language model, in about two dozen categories of task and domain.

A new installation has no queries to cluster, so the taxonomy starts from these: each category's centroid is the mean
embedding of its examples. From then on it is the traffic that moves centroids and adds categories. The examples vary
in length, tone and form on purpose, and include multiple-choice questions, because such requests occur and are worded
unlike conversation. All were written for this file.
"""

from learner.seeds.code import CODE
from learner.seeds.science import SCIENCE
from learner.seeds.seed import Seed
from learner.seeds.society import SOCIETY
from learner.seeds.writing import WRITING

__all__ = ["SEEDS", "Seed"]

SEEDS: tuple[Seed, ...] = (*SCIENCE, *CODE, *SOCIETY, *WRITING)
