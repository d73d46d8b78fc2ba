import type { PermissionName } from '../keys/model-access.ts';
import type { OutputKind } from '../limits/estimate.ts';
import type { MeterFormat } from '../usage/formats/format.ts';
import type { Dialect } from './dialect.ts';

/** One row of the route table: all that the middlewares know about an endpoint. */
export interface Route {
  /**
   * As providers document it, with `{name}` for a part of any content: `/v1/chat/completions`. It is matched at the end
   * of a request's path, whatever an app mounts it under; the version may be another, or missing.
   */
  readonly path: string;
  /** The endpoint's one name in usage records and lists of endpoints: the path, or for an alias that of the original. */
  readonly endpoint: string;
  readonly methods: readonly string[];
  /** Where the model is told. In the path it is the part `{model}`; `none`: calls count as requests only. */
  readonly model: 'body' | 'path' | 'none';
  /** Field of the body that names the model. */
  readonly modelField: string;
  readonly body: 'json' | 'multipart' | 'none';
  /** What the key must be permitted; `null`: only lists of endpoints rule it. */
  readonly permission: PermissionName | null;
  readonly format: MeterFormat;
  /** What the estimate takes for its output. */
  readonly output: OutputKind;
  /** `null`: clients of every provider call it, and their headers tell which. */
  readonly dialect: Dialect | null;
  /** Whether an answer streams: as the body's `stream` asks, always, or never. */
  readonly streams: 'body' | 'always' | 'never';
  /** Usage is part of a stream only when the body asks for it (`stream_options.include_usage`). */
  readonly usageOnRequest: boolean;
  /** `false`: the usage of what is started here cannot be told from its answer, so it is refused. */
  readonly metered: boolean;
}

/** A row as it is written: what it leaves out is as for a JSON endpoint of OpenAI's that has its model in the body. */
export type RouteEntry = Pick<Route, 'path'> & Partial<Omit<Route, 'path' | 'metered'>>;

/** A request as the table sees it. */
export interface DescribedRoute {
  readonly route: Route;
  /** The path of the request: lower case, decoded once, no slash at the end. */
  readonly path: string;
  /** The path as lists of endpoints name it: with the version of the table, without what the app mounts it under. */
  readonly endpointPath: string;
  /** The model asked for; `null` for routes without one. */
  readonly model: string | null;
  /** The model and all that may take its place: each must be allowed, and the dearest is reserved. */
  readonly models: readonly string[];
  /** Where `model` was read; from `option` or `header`, the body does not name it. */
  readonly modelFrom: 'option' | 'path' | 'body' | 'header' | null;
  readonly streams: boolean;
}
