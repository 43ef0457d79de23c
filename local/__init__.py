"""Everything on one machine: PostgreSQL and Redis from wheels, the supervisor, the demo. No package imports it."""
