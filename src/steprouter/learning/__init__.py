"""How good: fits predictors to recorded outcomes, says whether they are better than a table, and keeps them in a file.

Nothing here is needed to answer a step but `file`, which reads what was trained.
"""
