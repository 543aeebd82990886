"""Two-tower: a query network and a candidate network whose outputs are compared by dot product.

Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019. The
inputs of the query tower are the user's id, features and history; the inputs of the candidate tower are the item's id
and features. Cold users and items are embedded by their features only. `id_dropout` trains the towers for this case by
dropping ids (Volkovs et al., "DropoutNet", NIPS 2017).
"""
