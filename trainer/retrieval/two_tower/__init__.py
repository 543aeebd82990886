"""Two-tower: a query network and a candidate network that meet in a dot product.

Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019. The
query is the user's id, features and history; the candidate is the item's id and content. Items and users that no event
trains are carried by their features, which `id_dropout` trains for it (Volkovs et al., "DropoutNet", NIPS 2017).
"""
