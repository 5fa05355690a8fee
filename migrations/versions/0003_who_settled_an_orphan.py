"""who settled an orphan."""

import sqlalchemy as sa
from alembic import op
revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('resource_event', schema=None) as batch_op:
        batch_op.add_column(sa.Column('actor', sa.String(length=128), nullable=True))
        batch_op.add_column(sa.Column('note', sa.String(length=1000), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('resource_event', schema=None) as batch_op:
        batch_op.drop_column('note')
        batch_op.drop_column('actor')
