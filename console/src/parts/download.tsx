import { fileSize } from "../format.ts";
import { texts } from "../texts.ts";
import { Icon } from "./icons.tsx";

/**
 * A link that saves a file. It opens beside the page: where a link has just run out, the bucket's answer would else take the
 * place of the page, and of the session that lives in its memory.
 */
export function Download({ url, size }: { url: string; size: number | null }) {
  return (
    <a class="button" href={url} target="_blank" rel="noreferrer" download>
      <Icon name="download" />
      {size ? texts.actions.downloadSize(fileSize(size)) : texts.actions.download}
    </a>
  );
}
