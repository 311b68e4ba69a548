"""Alembic's entry: runs the migrations on the connection that the history has opened, within its transaction.

Source: Alembic's documentation, "Sharing a Connection across one or more programmatic migration commands".
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
