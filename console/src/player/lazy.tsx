import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Seam } from "../takes.ts";
import { texts } from "../texts.ts";

export interface PlayerHandle {
  /** The position in recorded seconds. */
  time: () => number;
  /** Goes to a position in recorded seconds, and plays. */
  seek: (seconds: number) => void;
}

export interface PlayerProps {
  handle?: { current: PlayerHandle | null };
  name: string;
  /** A file, or a playlist that ends with `.m3u8`. */
  url: string;
  poster: string | null;
  /** Whether the recording goes on. */
  live: boolean;
  seams: readonly Seam[];
  /** Seconds of the whole recording, once it is final. */
  recordedSeconds: number | null;
  /** The key under which the position is remembered; null to remember none. */
  remember: string | null;
  /** Where to begin, as the address says. */
  at: string | null;
  /** Asks for a link that works; null where there is none any more. */
  renew: () => Promise<string | null>;
  /** The content below the player, beside its keys. */
  beside?: ComponentChildren;
}

let Player: ComponentType<PlayerProps> | undefined;

/** The player, which is loaded when there is something to play. */
export function LazyPlayer(props: PlayerProps) {
  const [ready, setReady] = useState(Player !== undefined);
  const wished = useRef<number | null>(null);
  useEffect(() => {
    const { handle } = props;
    if (!handle) return;
    if (!ready) {
      // A moment that is chosen before the player is there is played once it is.
      handle.current = { time: () => wished.current ?? 0, seek: (seconds) => (wished.current = seconds) };
    } else if (wished.current !== null) {
      handle.current?.seek(wished.current);
      wished.current = null;
    }
  }, [ready]);
  useEffect(() => {
    if (Player) return;
    void import("./player.tsx").then((module) => {
      Player = module.Player;
      setReady(true);
    });
  }, []);
  if (ready && Player) return <Player {...props} />;
  return (
    <div class="no-picture" role="status">
      {props.poster && <img src={props.poster} alt="" />}
      <span class="unseen">{texts.player.loading}</span>
    </div>
  );
}
