"""Drills: the service is hurt, and an auditor that reads only the database and the blobs says what held."""
