"""Connect to MariaDB, MySQL, PostgreSQL and SQLite, and retry transactions."""
