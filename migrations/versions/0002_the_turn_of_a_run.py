"""What a run waits for, and what a step of a module costs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_cost",
        sa.Column("module", sa.String(length=63), nullable=False),
        sa.Column("step", sa.String(length=10), nullable=False),
        sa.Column("memory_mb", sa.Float(precision=53), nullable=False),
        sa.Column("cores", sa.Float(precision=53), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("module", "step", name=op.f("pk_run_cost")),
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "run_turn",
        sa.Column("applicant_userid", sa.String(length=128), nullable=False),
        sa.Column("taken_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("applicant_userid", name=op.f("pk_run_turn")),
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("held_up", sa.String(length=10), nullable=True))
        batch_op.create_index(
            "ix_run_turn", ["status", "applicant_userid", "module", "kind", "held_up", "id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index("ix_run_turn")
        batch_op.drop_column("held_up")
    op.drop_table("run_turn")
    op.drop_table("run_cost")
