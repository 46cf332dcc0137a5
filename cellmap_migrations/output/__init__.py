"""Print reports, tables and progress. Imports bookkeeping."""
