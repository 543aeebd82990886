"""Two-tower: a query network and a candidate network whose outputs are compared by dot product.

Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019. The
inputs of the query tower are the user's id, features and history, those of the candidate tower the item's id and
features. Cold users and items are embedded by their features, which `id_dropout` trains (Volkovs et al., "DropoutNet",
NIPS 2017).
"""
