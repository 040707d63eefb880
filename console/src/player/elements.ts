import { En } from "media-chrome/dist/lang/en.js";
import { addTranslation, setLanguage } from "media-chrome/dist/utils/i18n.js";

// The button shows "1.5x", so its name has to contain that.
addTranslation("en", { ...En, "Playback rate {playbackRate}": "Playback rate {playbackRate}x" });
setLanguage("en");

export { default as MediaControlBar } from "media-chrome/dist/media-control-bar.js";
/** The elements of media-chrome that the player is made of. The build allows their styles by their hashes. */
export { MediaController } from "media-chrome/dist/media-controller.js";
export { default as MediaFullscreenButton } from "media-chrome/dist/media-fullscreen-button.js";
export { default as MediaGestureReceiver } from "media-chrome/dist/media-gesture-receiver.js";
export { default as MediaLiveButton } from "media-chrome/dist/media-live-button.js";
export { default as MediaLoadingIndicator } from "media-chrome/dist/media-loading-indicator.js";
export { default as MediaMuteButton } from "media-chrome/dist/media-mute-button.js";
export { default as MediaPipButton } from "media-chrome/dist/media-pip-button.js";
export { default as MediaPlayButton } from "media-chrome/dist/media-play-button.js";
export { default as MediaPlaybackRateButton } from "media-chrome/dist/media-playback-rate-button.js";
export { default as MediaPreviewTimeDisplay } from "media-chrome/dist/media-preview-time-display.js";
export { default as MediaSeekBackwardButton } from "media-chrome/dist/media-seek-backward-button.js";
export { default as MediaSeekForwardButton } from "media-chrome/dist/media-seek-forward-button.js";
export { default as MediaTimeDisplay } from "media-chrome/dist/media-time-display.js";
export { default as MediaTimeRange } from "media-chrome/dist/media-time-range.js";
export { default as MediaTooltip } from "media-chrome/dist/media-tooltip.js";
export { default as MediaVolumeRange } from "media-chrome/dist/media-volume-range.js";
