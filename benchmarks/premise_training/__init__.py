"""How the shipped reader of premises was trained: pairs of licensed files, facts turned round, one core."""
