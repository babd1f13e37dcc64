"""A database of what productions, public releases and harvests hold: SQLite files, or a PostgreSQL server."""
