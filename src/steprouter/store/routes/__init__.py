"""Semantic routes in Redis, as redisvl's `SemanticRouter` keeps them, and the copy of them that steps look at.

records   what is kept, as values
read      what the store has, and whether it has changed
write     what a policy says, into the store
follow    the copy that follows the store
edit      a stored router for people who change it with redisvl
"""
