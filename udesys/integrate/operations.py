"""The operations a program may hold; an instruction names one by its place here."""

OPERATIONS = tuple(
    "add sub mul div pow powi neg exp log sqrt sin cos tan tanh sinh cosh abs sign sigmoid less min max".split()
)
