import { isObject, type JsonObject } from '../usage/formats/json.ts';

/**
 * What media are counted as, in tokens of input. They are round figures above what providers usually charge for one
 * piece; the true count comes with the answer.
 */
export const mediaTokens = {
  image: 1600,
  /** An image whose part asks for `detail: "low"`. */
  lowDetailImage: 85,
  audio: 2000,
  video: 16_000,
  /** PDF and other files. */
  document: 4096,
} as const;

/** Something in a body that is no text, by what it is estimated: a piece of media, or what the provider keeps. */
export type Attachment = keyof typeof mediaTokens | 'state';

/**
 * What the field of a content part stands for, when it is media or a reference to what the provider keeps; `undefined`
 * for text and structure, which are looked into. The shape of the value is asked too: in the schema of a tool the same
 * names are properties like others.
 */
export function attachmentIn(part: JsonObject, field: string, value: unknown): Attachment | undefined {
  switch (field) {
    case 'image_url':
      return isUrl(value) ? image(part, value) : undefined;
    case 'video_url':
      return isUrl(value) ? 'video' : undefined;
    case 'input_audio':
      return isObject(value) && typeof value.data === 'string' ? 'audio' : undefined;
    case 'file_url':
      return typeof value === 'string' ? 'document' : undefined;
    case 'file_id':
    case 'previous_response_id':
    case 'cachedContent':
    case 'cached_content':
      return typeof value === 'string' ? 'state' : undefined;
    case 'conversation':
      return typeof value === 'string' || (isObject(value) && typeof value.id === 'string') ? 'state' : undefined;
    case 'file_data':
      // OpenAI's is the content itself, Gemini's an object that refers to it.
      return typeof value === 'string' ? 'document' : ofGemini(value, 'file_uri');
    case 'fileData':
      return ofGemini(value, 'fileUri');
    case 'inlineData':
    case 'inline_data':
      return ofGemini(value, 'data');
    case 'source':
      return ofAnthropic(part, value);
    default:
      return undefined;
  }
}

function isUrl(value: unknown): value is string | JsonObject {
  return typeof value === 'string' || (isObject(value) && typeof value.url === 'string');
}

function image(part: JsonObject, value: string | JsonObject): Attachment {
  const detail = typeof value === 'string' ? part.detail : value.detail;
  return detail === 'low' ? 'lowDetailImage' : 'image';
}

function ofGemini(value: unknown, reference: string): Attachment | undefined {
  if (!isObject(value) || typeof value[reference] !== 'string') return undefined;
  return byMediaType(value.mimeType ?? value.mime_type);
}

/** Sources of type `text` and `content` are text in another wrapping. */
function ofAnthropic(part: JsonObject, value: unknown): Attachment | undefined {
  if (!isObject(value)) return undefined;
  if (value.type === 'file') return 'state';
  if (value.type !== 'base64' && value.type !== 'url') return undefined;
  return part.type === 'image' ? 'image' : byMediaType(value.media_type);
}

function byMediaType(mediaType: unknown): Attachment {
  if (typeof mediaType !== 'string') return 'document';
  if (mediaType.startsWith('image/')) return 'image';
  if (mediaType.startsWith('audio/')) return 'audio';
  return mediaType.startsWith('video/') ? 'video' : 'document';
}
