"""How a recipe is chosen from evidence: one module for each value of ``Recipe.select``."""
