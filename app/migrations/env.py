# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the versions over the connection that `app.database` hands in."""

from alembic import context

import access.models
import audit.models
import bureau.models
import connectors.models
import consent.models
import kernel.models
from kernel.db import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
