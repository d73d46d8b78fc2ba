export type { EchoBehaviour, EchoUsage } from './echo-model/behaviour.ts';
export { createEchoModel, type EchoModel, type EchoModelOptions } from './echo-model/echo-model.ts';
export type { EchoRequest } from './echo-model/request.ts';
export type { CombinableCase } from './store-suite/combinable-case.ts';
export { combinableCases } from './store-suite/combinable-cases.ts';
export type { CreateStore, StoreCase } from './store-suite/store-case.ts';
export { storeCases } from './store-suite/store-cases.ts';
