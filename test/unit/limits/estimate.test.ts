import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type EstimateOptions, estimateTokens } from '../../../lib/limits/estimate.ts';
import { mediaTokens } from '../../../lib/limits/media-tokens.ts';
import { maxTokenCount } from '../../../lib/usage/usage.ts';

const defaults: EstimateOptions = { output: 'text', stateTokens: 4096, minimumTokens: 1 };

function estimate(body: unknown, options: Partial<EstimateOptions> = {}) {
  return estimateTokens(body, { ...defaults, ...options });
}

const input = (body: unknown, options: Partial<EstimateOptions> = {}) => estimate(body, options).inputTokens;
const output = (body: unknown, options: Partial<EstimateOptions> = {}) => estimate(body, options).outputTokens;
const base64 = 'A'.repeat(100_000);
const words = (tokens: number) => 'word'.repeat(tokens);

describe('estimateTokens', () => {
  it('takes a quarter of the bytes of every text, rounded up once, and the cap', () => {
    const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello, world!' }], max_tokens: 100 };
    // "user" and the content are 17 bytes.
    assert.deepEqual(estimate(body), { inputTokens: 5, outputTokens: 100, outputs: 1 });
  });

  it('counts bytes, not characters', () => {
    assert.equal(input({ input: 'ééé中' }), 3);
  });

  const texts: readonly [title: string, body: object, tokens: number][] = [
    ['messages and system', { system: words(3), messages: [{ content: words(4) }] }, 7],
    ['a prompt', { prompt: words(7), suffix: words(1) }, 8],
    ['input and instructions', { input: [{ content: [{ text: words(7) }] }], instructions: words(2) }, 9],
    [
      'contents and systemInstruction',
      { contents: [{ parts: [{ text: words(6) }] }], systemInstruction: { parts: [{ text: words(2) }] } },
      8,
    ],
    [
      'requests of a batch of embeddings',
      { requests: [{ content: { parts: [{ text: words(3) }] } }, { content: { parts: [{ text: words(4) }] } }] },
      7,
    ],
    ['a document given as text', { messages: [{ content: [{ source: { data: words(50) } }] }] }, 50],
    ['tokens as numbers', { prompt: [1, 2, 3, 4, 5] }, 5],
    [
      'lists of tokens',
      {
        input: [
          [1, 2, 3],
          [4, 5],
        ],
      },
      5,
    ],
  ];
  for (const [title, body, tokens] of texts) {
    it(`counts ${title}`, () => assert.equal(input(body), tokens));
  }

  const schema = {
    type: 'object',
    properties: { city: { type: 'string', description: 'Où?' }, days: { type: 'integer', maximum: 14, default: null } },
    required: ['city', 'days'],
    additionalProperties: false,
  };
  const schemas: readonly [title: string, body: object, json: unknown][] = [
    ['tools', { tools: [{ type: 'function', function: { name: 'weather', parameters: schema } }] }, undefined],
    ['functions', { functions: [{ name: 'weather', parameters: schema }, {}] }, undefined],
    ['a schema of the answer', { response_format: { type: 'json_schema', json_schema: { schema } } }, undefined],
    ['a schema of a response', { text: { format: { type: 'json_schema', schema } } }, undefined],
    ["Gemini's schema of the answer", { generationConfig: { responseSchema: schema } }, schema],
  ];
  for (const [title, body, json = Object.values(body)[0]] of schemas) {
    it(`counts ${title} as the JSON that it is, names of properties included`, () => {
      assert.equal(input(body), Math.ceil(Buffer.byteLength(JSON.stringify(json)) / 4));
    });
  }

  it('counts nothing that no model reads', () => {
    const body = { input: words(2), model: words(99), user: words(99), metadata: { note: words(99) }, seed: 7 };
    assert.equal(input(body), 2);
  });

  const media: readonly [title: string, part: object, tokens: number][] = [
    [
      'an image of a chat',
      { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } },
      mediaTokens.image,
    ],
    ['an image in low detail', { image_url: { url: base64, detail: 'low' } }, mediaTokens.lowDetailImage],
    ['an image of a response', { image_url: base64, detail: 'high' }, mediaTokens.image + 1],
    ['audio of a chat', { input_audio: { data: base64, format: 'wav' } }, mediaTokens.audio],
    ['a video', { video_url: { url: base64 } }, mediaTokens.video],
    ['a file', { file: { file_data: base64 } }, mediaTokens.document],
    ['a file by its address', { file_url: 'https://host/a.pdf' }, mediaTokens.document],
    ['an image of Anthropic', { type: 'image', source: { type: 'url', url: base64 } }, mediaTokens.image + 2],
    [
      'a document of Anthropic',
      { source: { type: 'base64', media_type: 'application/pdf', data: base64 } },
      mediaTokens.document,
    ],
    ['inline data of Gemini', { inlineData: { mimeType: 'audio/mp3', data: base64 } }, mediaTokens.audio],
    ['inline data in snake case', { inline_data: { mime_type: 'image/png', data: base64 } }, mediaTokens.image],
    ['a file of Gemini', { fileData: { mimeType: 'video/mp4', fileUri: base64 } }, mediaTokens.video],
    ['a file in snake case', { file_data: { file_uri: base64 } }, mediaTokens.document],
    ['a file that the provider keeps', { file_id: 'file-1' }, 4096],
    ['a file of Anthropic that it keeps', { source: { type: 'file', file_id: 'f' } }, 4096],
    ['an item that the provider keeps', { type: 'item_reference', id: 'item' }, 4096 + 5],
  ];
  for (const [title, part, tokens] of media) {
    it(`counts ${title} by the table`, () => {
      // The type of the first image is 9 bytes, and rounded up.
      const typed = 'type' in part && part.type === 'image_url' ? 3 : 0;
      assert.equal(input({ messages: [{ content: [part] }] }), tokens + typed);
    });
  }

  const kept: readonly [title: string, body: object][] = [
    ['an earlier response', { previous_response_id: 'resp_1' }],
    ['a conversation', { conversation: 'conv_1' }],
    ['a conversation as an object', { conversation: { id: 'conv_1' } }],
    ['cached content', { cachedContent: 'cachedContents/1' }],
  ];
  for (const [title, body] of kept) {
    it(`counts ${title} by the option`, () => {
      assert.equal(input({ ...body, input: words(4) }), 4100);
      assert.equal(input({ ...body, input: words(4) }, { stateTokens: 10 }), 14);
    });
  }

  it('counts the template of a stored prompt, and its variables', () => {
    assert.equal(input({ prompt: { id: 'pmpt', variables: { city: words(3) } } }), 4096 + 1 + 3);
  });

  it('is not misled by names of media in the schema of a tool', () => {
    const property = { type: 'word', description: words(2) };
    const properties = { image_url: property, file_id: property, source: property, conversation: property };
    const tools = [{ parameters: { properties } }];
    assert.equal(input({ tools }), Math.ceil(JSON.stringify(tools).length / 4));
  });

  it('counts a text as text that only looks like media', () => {
    assert.equal(input({ messages: [{ content: `data:image/png;base64,${words(25_000)}` }] }), 25_006);
  });

  const caps: readonly [body: object, tokens: number | null][] = [
    [{}, null],
    [{ max_tokens: null }, null],
    [{ max_tokens: 10 }, 10],
    [{ max_tokens: 10, max_completion_tokens: 30 }, 30],
    [{ max_output_tokens: 20 }, 20],
    [{ generationConfig: { maxOutputTokens: 40 } }, 40],
    [{ generation_config: { max_output_tokens: 40 } }, 40],
    [{ max_tokens: 10, n: 3 }, 30],
    [{ max_tokens: 10, n: 2, best_of: 5 }, 50],
    [{ max_tokens: 10, n: '4' }, 40],
    [{ max_tokens: 10, prompt: ['a', 'b', 'c'], n: 2 }, 60],
    [{ max_tokens: 10, prompt: [1, 2, 3] }, 10],
    [{ max_tokens: 10, prompt: [[1, 2], [3]] }, 20],
    [{ generationConfig: { maxOutputTokens: 10, candidateCount: 4 } }, 40],
    [{ max_tokens: 100, thinking: { type: 'enabled', budget_tokens: 1024 } }, 1024],
    [{ max_tokens: 4000, thinking: { budget_tokens: 1024 } }, 4000],
    [{ generationConfig: { maxOutputTokens: 10, thinkingConfig: { thinkingBudget: 500 } } }, 500],
    [{ generationConfig: { maxOutputTokens: 10, thinkingConfig: { thinkingBudget: -1 } } }, 10],
    [{ thinking: { budget_tokens: 1024 } }, null],
    [{ max_tokens: 10.2 }, 11],
    [{ max_tokens: '100' }, 100],
    [{ max_tokens: 1e300 }, maxTokenCount],
    [{ max_tokens: 10, n: 1e300 }, maxTokenCount],
    [{ max_tokens: 10, n: -3 }, 10],
    [{ max_tokens: 10, n: 0 }, 10],
    [{ max_tokens: 10, n: 'x' }, 10],
  ];
  for (const [body, tokens] of caps) {
    it(`takes ${tokens} of ${JSON.stringify(body)} for the output`, () => assert.equal(output(body), tokens));
  }

  it('takes a cap that cannot be read for none, since a provider may do so', () => {
    for (const cap of [0, -1, Number.NaN, JSON.parse('1e309'), 'many', '', true, {}, [5]]) {
      assert.equal(output({ max_tokens: cap }), null, String(cap));
      assert.equal(output({ max_tokens: cap, max_completion_tokens: 10 }), null, String(cap));
    }
  });

  it('takes no cap that the endpoint would ignore', () => {
    const chat = { capFields: ['max_completion_tokens', 'max_tokens'] };
    assert.equal(output({ max_output_tokens: 1, generationConfig: { maxOutputTokens: 1 } }, chat), null);
    assert.equal(output({ max_output_tokens: 0, max_tokens: 7 }, chat), 7);
    const gemini = { capFields: ['maxOutputTokens'] };
    assert.equal(output({ max_tokens: 1, generationConfig: {} }, gemini), null);
    assert.equal(output({ max_tokens: 1, generation_config: { max_output_tokens: 9 } }, gemini), 9);
  });

  it('tells how many answers are asked for where no cap says how long they are', () => {
    assert.deepEqual(estimate({ prompt: 'word', n: 3 }), { inputTokens: 1, outputTokens: null, outputs: 3 });
  });

  it('knows outputs that are no text', () => {
    assert.equal(output({ input: 'word', max_tokens: 10 }, { output: 'none' }), 0);
    assert.equal(output({ prompt: 'a cat', n: 2, quality: 'low' }, { output: 'images' }), 816);
    assert.equal(output({ prompt: 'a cat' }, { output: 'images' }), 6240);
    assert.equal(output({ prompt: 'a cat', quality: '__proto__' }, { output: 'images' }), 6240);
    assert.equal(output({ input: words(10) }, { output: 'speech' }), 80);
    assert.deepEqual(estimate({}, { output: 'transcript' }), {
      inputTokens: mediaTokens.audio,
      outputTokens: 2000,
      outputs: 1,
    });
  });

  it('takes the minimum where nothing tells', () => {
    for (const body of [{}, undefined, null, 'text', [], { messages: [] }, { input: '' }]) {
      assert.equal(input(body, { minimumTokens: 7 }), 7);
    }
    assert.equal(input({ input: 'word' }, { minimumTokens: 7 }), 1);
    assert.equal(input({}, { minimumTokens: 0 }), 0);
  });

  it('takes any depth, and ends where a body refers to itself', () => {
    const deep = JSON.parse(`{"input":${'['.repeat(200_000)}"word"${']'.repeat(200_000)}}`);
    assert.equal(input(deep), 1);
    const round: { input: unknown[] } = { input: [] };
    round.input.push({ round });
    assert.equal(input(round), 1);
  });

  it('is a whole number within bounds for any JSON', () => {
    const fields = ['messages', 'input', 'prompt', 'contents', 'max_tokens', 'n', 'thinking', 'source', 'file_data'];
    const body = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue());
    fc.assert(
      fc.property(body, (value) => {
        for (const tokens of Object.values(estimate(value))) {
          assert.ok(tokens === null || (Number.isInteger(tokens) && tokens >= 0 && tokens <= maxTokenCount));
        }
      }),
    );
  });

  it('grows with every message', () => {
    const message = fc.record({ role: fc.constant('user'), content: fc.string({ minLength: 4 }) });
    fc.assert(
      fc.property(fc.array(message), message, (messages, more) => {
        const without = messages.length === 0 ? 0 : input({ messages });
        assert.ok(input({ messages: [...messages, more] }) > without);
      }),
    );
  });
});
