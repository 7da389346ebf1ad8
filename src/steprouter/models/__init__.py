"""Who can answer: cards, the catalogue, prices, tokens and cost."""
