"""Who should answer: policy, rules, hard filters, and the decision."""
