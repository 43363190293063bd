"""One module per simulator behind the contract; adapters never import each other."""
