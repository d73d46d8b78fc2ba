-- How many rows of the outbox are claimed is told without a look at all others.

create index outbox_by_lease on outbox (lease_ends_at_ms) where lease_ends_at_ms is not null;
