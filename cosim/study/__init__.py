"""Many runs of one scenario: a builder, a design of its parameters, seeds; and what may be concluded from them."""
