import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyOf, EMPTY, missingOf } from "../src/start.ts";

test("what is left as the API's default is not sent, nor what belongs to another kind", () => {
  assert.deepEqual(bodyOf({ ...EMPTY, roomName: " demo ", pageUrl: "https://example.com" }), { roomName: "demo" });
  assert.deepEqual(bodyOf({ ...EMPTY, roomName: "demo", framerate: "60", maxMinutes: "1.5", layout: "speaker" }), {
    roomName: "demo",
    layout: "speaker",
    framerate: 60,
    maxDuration: 90,
  });
  assert.deepEqual(bodyOf({ ...EMPTY, kind: "track", roomName: "demo", trackSid: "TR_1", layout: "speaker" }), {
    trackBased: true,
    roomName: "demo",
    trackSid: "TR_1",
  });
  assert.deepEqual(
    bodyOf({ ...EMPTY, kind: "participant", roomName: "demo", participantIdentity: "eve", screenShare: true }),
    {
      source: "participant",
      roomName: "demo",
      participantIdentity: "eve",
      screenShare: true,
    },
  );
});

test("what is needed depends on the kind", () => {
  assert.deepEqual(Object.keys(missingOf(EMPTY)), ["roomName"]);
  assert.deepEqual(Object.keys(missingOf({ ...EMPTY, kind: "web" })), ["pageUrl"]);
  assert.deepEqual(Object.keys(missingOf({ ...EMPTY, kind: "track_composite", roomName: "demo" })), ["audioTrackSid"]);
  assert.deepEqual(missingOf({ ...EMPTY, kind: "track_composite", roomName: "demo", videoTrackSid: "TR_1" }), {});
});
