import assert from "node:assert/strict";
import { test } from "node:test";
import type { Draft } from "../src/start.ts";
import { bodyOf, EMPTY, fieldCalled, fieldsOf, kindsOf, missingOf } from "../src/start.ts";

const ALL = new Set([
  ...["roomName", "title", "reference", "maxDuration", "layout", "media", "resolution", "orientation", "framerate"],
  ...["videoBitrate", "audioBitrate", "onWorkerLost", "outputs", "source", "participantIdentity", "screenShare"],
  ...["trackBased", "trackSid", "audioTrackSid", "videoTrackSid", "pageUrl"],
]);

function body(change: Partial<Draft>): object {
  const draft = { ...EMPTY, ...change };
  return bodyOf(draft, fieldsOf(draft.kind, ALL));
}

function missing(change: Partial<Draft>): string[] {
  const draft = { ...EMPTY, ...change };
  return Object.keys(missingOf(draft, fieldsOf(draft.kind, ALL)));
}

test("what is left as the API's default is not sent, nor what belongs to another kind", () => {
  assert.deepEqual(body({ roomName: " demo ", pageUrl: "https://example.com" }), { roomName: "demo" });
  assert.deepEqual(body({ roomName: "demo", framerate: "60", maxMinutes: "1.5", layout: "speaker" }), {
    roomName: "demo",
    layout: "speaker",
    framerate: 60,
    maxDuration: 90,
  });
  assert.deepEqual(body({ kind: "track", roomName: "demo", trackSid: "TR_1", layout: "speaker", hls: true }), {
    trackBased: true,
    roomName: "demo",
    trackSid: "TR_1",
  });
  assert.deepEqual(body({ kind: "participant", roomName: "demo", participantIdentity: "eve", screenShare: true }), {
    source: "participant",
    roomName: "demo",
    participantIdentity: "eve",
    screenShare: true,
  });
});

test("outputs are sent where they are not the file alone", () => {
  assert.deepEqual(body({ roomName: "demo", videoBitrate: "2500", thumbnails: true, file: false, hls: true }), {
    roomName: "demo",
    videoBitrate: 2500,
    outputs: { file: false, hls: true, thumbnails: true },
  });
  assert.deepEqual(body({ kind: "web", pageUrl: "https://a.example", streams: "rtmp://a/b\n\n rtmps://c/d " }), {
    source: "web",
    pageUrl: "https://a.example",
    outputs: { streams: ["rtmp://a/b", "rtmps://c/d"] },
  });
});

test("what is needed depends on the kind", () => {
  assert.deepEqual(missing({}), ["roomName"]);
  assert.deepEqual(missing({ kind: "web" }), ["pageUrl"]);
  assert.deepEqual(missing({ kind: "track_composite", roomName: "demo" }), ["audioTrackSid"]);
  assert.deepEqual(missing({ kind: "track_composite", roomName: "demo", videoTrackSid: "TR_1" }), []);
  assert.deepEqual(missing({ roomName: "demo", file: false, streams: "rtmp://a/b" }), ["file"]);
});

test("an API with fewer fields is asked for no others", () => {
  const known = new Set(["roomName", "layout", "resolution", "trackBased", "trackSid", "maxDuration"]);
  assert.deepEqual(kindsOf(known), ["room_composite", "track"]);
  assert.deepEqual([...fieldsOf("room_composite", known)], ["roomName", "maxMinutes", "layout", "resolution"]);
  assert.deepEqual(bodyOf({ ...EMPTY, roomName: "demo", title: "A", hls: true }, fieldsOf("room_composite", known)), {
    roomName: "demo",
  });
});

test("a problem stands at the field that it is of", () => {
  assert.equal(fieldCalled("maxDuration"), "maxMinutes");
  assert.equal(fieldCalled("outputs"), "file");
  assert.equal(fieldCalled("outputs.streams.0"), "streams");
  assert.equal(fieldCalled("roomName"), "roomName");
});
