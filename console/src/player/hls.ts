// Without captions, alternate audio and encryption, which recordings do not have: a third less to load.
export { default } from "hls.js/light";
