import type { Response } from 'express';
import { InvalidRequestError } from '../errors.ts';
import { parseUsage, type UsageInput } from '../keys/usage-input.ts';
import { inBackground, whenAnswered } from '../stores/answered.ts';
import type { Answer } from '../stores/store.ts';
import { createMeter, type Meter } from '../usage/meter.ts';
import { noTokens } from '../usage/usage.ts';
import { createBodyCopy } from './body-copy.ts';
import { consumptionOf } from './consumption.ts';
import type { HeldCall } from './held-call.ts';
import type { LlmRequest } from './llm-request.ts';
import { watchBody } from './response-body.ts';
import { whenClosed } from './response-close.ts';
import { beforeHead } from './response-head.ts';
import { isSuccess } from './response-status.ts';
import type { DescribedRoute } from './route.ts';

export interface MeteredResponseOptions {
  readonly llm: LlmRequest;
  readonly call: HeldCall;
  readonly route: DescribedRoute;
  /** The usage of the stream was asked for in the client's place. */
  readonly injectedUsage: boolean;
  readonly readUsage: ((body: unknown) => UsageInput | undefined) | undefined;
}

/** Watches a response until it is complete or the client leaves, and then ends its call by what was seen. */
export function meterResponse(res: Response, options: MeteredResponseOptions): void {
  const { llm, call, route, injectedUsage, readUsage } = options;
  const copy = readUsage && createBodyCopy();
  let meter: Meter | undefined;
  let ended = false;

  // Opened when the head is sent or the first bytes come: then the handler's headers are known, which tell how the body
  // is to be read, and those of a compression that was mounted before are not there yet.
  function opened(): Meter {
    meter ??= createMeter({
      format: route.route.format,
      contentType: header(res, 'content-type'),
      contentEncoding: header(res, 'content-encoding'),
      injectedUsage,
    });
    return meter;
  }

  function end(isWhole: boolean): void {
    if (ended) return;
    ended = true;
    inBackground(
      () => endCall(isWhole),
      (error) => {
        llm.service.options.logger.error(
          `A response could not be metered: ${error instanceof Error ? error.name : error}`,
        );
        call.settleByEstimate('unmetered');
      },
    );
  }

  function endCall(isWhole: boolean): Answer<void> {
    // The calls of the handler were charged where they went out; what is left of the request is its slot.
    if (llm.isDelegated) return call.cancel();
    if (llm.recorded !== undefined) return settleOwn(llm.recorded);
    // A client that left before the head was sent: nobody knows how the upstream took the call.
    if ((isWhole || res.headersSent) && !isSuccess(res)) return call.cancel();
    const own = ownUsage(copy?.json(header(res, 'content-encoding')), readUsage);
    if (own !== undefined) return settleOwn(own);
    if (route.model === null) {
      return call.settle({ usage: noTokens, model: null, costNanoUsd: 0, source: 'reported' });
    }
    return whenAnswered(opened().result(), (result) => {
      const consumption = consumptionOf(result, call.estimate);
      llm.usage = consumption.usage;
      call.settle(consumption);
    });
  }

  function settleOwn(own: UsageInput): void {
    try {
      const { usage, model, costNanoUsd } = parseUsage(own);
      llm.usage = usage;
      call.settle({ usage, model, costNanoUsd, source: 'reported' });
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error;
      call.settleByEstimate('impossible_usage');
    }
  }

  beforeHead(res, () => {
    opened();
    if (injectedUsage) res.removeHeader('content-length');
  });
  watchBody(res, {
    write(chunk) {
      copy?.add(chunk);
      return opened().write(chunk);
    },
    readWhole(body) {
      // Without a copy it is parsed once.
      if (copy !== undefined || !opened().readWhole(body)) return false;
      end(true);
      return true;
    },
    end() {
      const kept = opened().end();
      end(true);
      return kept;
    },
  });
  whenClosed(res, () => end(false));
}

function ownUsage(body: unknown, readUsage: MeteredResponseOptions['readUsage']): UsageInput | undefined {
  if (body === undefined) return undefined;
  try {
    return readUsage?.(body);
  } catch {
    return undefined;
  }
}

function header(res: Response, name: string): string | undefined {
  const value = res.getHeader(name);
  return value === undefined ? undefined : String(value);
}
