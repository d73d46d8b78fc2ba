import type { LlmContext } from './http/context.ts';

declare global {
  namespace Express {
    interface Request {
      /** What the middlewares of express-llm-keys know of the request; absent where `requireApiKey` is not mounted. */
      readonly llm?: LlmContext;
    }
  }
}
