"""What is remembered: values, and the promises a store makes."""
