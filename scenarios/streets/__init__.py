"""Street networks: reading SUMO networks, building sites along them, the Eixample's grid of blocks."""
