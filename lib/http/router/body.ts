import express, { type Request, type Response } from 'express';
import { InvalidRequestError, PayloadTooLargeError, UnsupportedMediaTypeError } from '../../errors.ts';
import { isDecodingError } from '../decoding-errors.ts';

/** A JSON object as it came. */
export type JsonObject = { readonly [field: string]: unknown };

const parseJson = express.json({ limit: '100kb', strict: true });

/**
 * The JSON object in the body of a request; `{}` where there is no body. Parses it unless somebody already has.
 *
 * @throws UnsupportedMediaTypeError, PayloadTooLargeError, InvalidRequestError
 */
export async function readBody(req: Request, res: Response): Promise<JsonObject> {
  if (!hasBody(req)) return {};
  if (!req.is('application/json')) throw new UnsupportedMediaTypeError();
  // Whether `req.body` is set tells nothing: on Express 4 a parser for another type sets it too, and reads nothing.
  if (!req.readableEnded) await parse(req, res);
  const body: unknown = req.body;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw notAnObject();
  return body as JsonObject;
}

/** @throws InvalidRequestError naming every field that is not one of these */
export function refuseOtherFields(body: JsonObject, fields: readonly string[]): void {
  const others = Object.keys(body).filter((field) => !fields.includes(field));
  if (others.length === 0) return;
  throw new InvalidRequestError(others.slice(0, 100).map((field) => ({ field, message: 'is not allowed' })));
}

function hasBody({ headers }: Request): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function parse(req: Request, res: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    parseJson(req, res, (error?: unknown) => {
      if (error === undefined) resolve();
      else reject(bodyError(error));
    });
  });
}

/** What body-parser throws, by its `type` (https://github.com/expressjs/body-parser#errors). */
function bodyError(error: unknown): unknown {
  if (isDecodingError(error)) return notAnObject();
  if (typeof error !== 'object' || error === null || !('type' in error)) return error;
  switch (error.type) {
    case 'entity.too.large':
      return new PayloadTooLargeError();
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return new UnsupportedMediaTypeError('The encoding or the charset of the body is not supported');
    case 'entity.parse.failed':
    case 'entity.verify.failed':
    case 'request.size.invalid':
    case 'request.aborted':
      return notAnObject();
    default:
      return error;
  }
}

function notAnObject(): InvalidRequestError {
  return new InvalidRequestError([{ field: 'body', message: 'must be a JSON object' }]);
}
