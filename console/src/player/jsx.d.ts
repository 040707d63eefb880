import type { HTMLAttributes } from "preact";

type MediaElement = HTMLAttributes<HTMLElement> & Record<string, unknown>;

declare module "preact" {
  namespace JSX {
    interface IntrinsicElements {
      "media-controller": MediaElement;
      "media-control-bar": MediaElement;
      "media-fullscreen-button": MediaElement;
      "media-live-button": MediaElement;
      "media-loading-indicator": MediaElement;
      "media-mute-button": MediaElement;
      "media-pip-button": MediaElement;
      "media-play-button": MediaElement;
      "media-playback-rate-button": MediaElement;
      "media-seek-backward-button": MediaElement;
      "media-seek-forward-button": MediaElement;
      "media-time-display": MediaElement;
      "media-time-range": MediaElement;
      "media-volume-range": MediaElement;
    }
  }
}
