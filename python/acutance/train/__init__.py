"""Training: recipes, examples, the loop and the choice of weights on the validation split."""
