export type { CreateStore, StoreCase } from './store-suite/store-case.ts';
export { storeCases } from './store-suite/store-cases.ts';
