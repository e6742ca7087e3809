"""PostgreSQL 14 and later, through psycopg 3."""
