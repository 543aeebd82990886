"""`twostep bench`: registered models under the published protocols, each beside the published figure."""
