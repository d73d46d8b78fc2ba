/** What is sent for a request, before any behaviour has its way with it. */
export interface EchoAnswer {
  readonly status: number;
  readonly contentType: string;
  /** The body: of a stream, one event each. */
  readonly frames: readonly string[];
  /** The event by which the provider tells that the stream has failed; only streams have one. */
  readonly errorFrame?: string;
}

export function jsonAnswer(body: object, status = 200): EchoAnswer {
  return { status, contentType: 'application/json', frames: [JSON.stringify(body)] };
}

export function eventStream(frames: readonly string[], errorFrame: string): EchoAnswer {
  return { status: 200, contentType: 'text/event-stream; charset=utf-8', frames, errorFrame };
}

/** One server-sent event. */
export function frame(data: object | string, event?: string): string {
  const line = `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
  return event === undefined ? line : `event: ${event}\n${line}`;
}

/** An event that says in its `type` what it is; OpenAI's responses and Anthropic give it as the event's name too. */
export interface TypedEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export function typedFrame(event: TypedEvent): string {
  return frame(event, event.type);
}
