"""Recommendations for a basket, without Kafka or MongoDB: the library behind trainer and service.

from erp import recommender
model = recommender.fit(sales_items, sales, products)
model.recommend(["840361", "862349"], customer="1228")
model.save("models/item_sim.pkl")
"""

from erp.recommender import compiled  # noqa: F401  before anything that is compiled
from erp.recommender.fitting import fit, fit_baskets, popular
from erp.recommender.model import Model, load
from erp.recommender.settings import ModelSettings

__all__ = ["Model", "ModelSettings", "fit", "fit_baskets", "load", "popular"]
