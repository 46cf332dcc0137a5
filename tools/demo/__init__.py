"""A small cloud on SQLite, whose cells are mapped by the real alembic."""
