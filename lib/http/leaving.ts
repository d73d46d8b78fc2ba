/**
 * Whether the client of a request has left before its response was complete. The signal that tells so is made when it is
 * first asked for: few handlers do, and it takes as long as judging the request.
 */
export class Leaving {
  #hasLeft = false;
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#hasLeft) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#controller?.abort();
  }
}
