"""Connect to MariaDB, MySQL, PostgreSQL and SQLite, and retry. Imports config."""
