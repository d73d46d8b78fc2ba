export { type MigrateOptions, migrate } from './migrate.ts';
export { type PostgresStoreOptions, postgresStore } from './postgres-store.ts';
