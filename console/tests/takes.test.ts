import assert from "node:assert/strict";
import { test } from "node:test";
import type { Recording, Take } from "../src/api/contract.ts";
import { recordedSeconds, seams } from "../src/takes.ts";

const START = Date.parse("2026-11-26T10:00:00Z");

function at(seconds: number): string {
  return new Date(START + seconds * 1000).toISOString();
}

function take(number: number, began: number, ended: number | null, end: string | null, more: Partial<Take> = {}): Take {
  return {
    take: number,
    egressId: null,
    startedAt: at(began),
    stoppedAt: ended === null ? null : at(ended),
    end,
    duration: ended === null ? null : ended - began,
    ...more,
  };
}

function recording(status: string, more: Partial<Recording> = {}): Recording {
  return { status, startedAt: at(0), duration: null, ...more } as Recording;
}

test("a seam says why, and how much is missing", () => {
  const takes = [
    take(1, 0, 20, "paused"),
    take(2, 740, 760, "worker_lost", { lostSeconds: 3.4 }),
    take(3, 790, null, null),
  ];
  assert.deepEqual(seams(takes), [
    { at: 20, kind: "paused", missing: 720, take: 2 },
    { at: 40, kind: "lost", missing: 3.4, take: 3 },
  ]);
});

test("an attempt that recorded nothing is no take, and makes no seam", () => {
  const takes = [take(1, 0, 20, "paused"), take(2, 30, 30, "failed"), take(3, 40, 50, "stopped")];
  assert.deepEqual(
    seams(takes).map(({ at: where, take: number }) => [where, number]),
    [[20, 3]],
  );
});

test("a seam is not explained by what is not known", () => {
  const told = (end: string, next: number) => seams([take(1, 0, 20, end), take(2, next, 50, "stopped")])[0];
  assert.equal(told("paused", 15)?.missing, null);
  assert.equal(told("upload_failed", 30)?.kind, "broken");
  assert.equal(told("limit_reached", 30)?.kind, "other");
});

test("seams end where a duration is not known", () => {
  const takes = [take(1, 0, 20, "worker_lost", { duration: null, stoppedAt: null }), take(2, 40, 50, "stopped")];
  assert.deepEqual(seams(takes), []);
});

test("the recorded time leaves pauses out, and ticks with the take that records", () => {
  const takes = [take(1, 0, 20, "paused"), take(2, 740, null, null)];
  assert.equal(recordedSeconds(recording("active", { takeCount: 2 }), takes, START + 745_000), 25);
  assert.equal(recordedSeconds(recording("paused", { takeCount: 1 }), takes.slice(0, 1), START + 99_000), 20);
});

test("without its takes the time of a recording of several is not made up", () => {
  assert.equal(recordedSeconds(recording("active", { takeCount: 2 }), undefined, START + 60_000), null);
  assert.equal(recordedSeconds(recording("active"), undefined, START + 60_000), 60);
  assert.equal(recordedSeconds(recording("starting"), undefined, START + 60_000), null);
  assert.equal(recordedSeconds(recording("completed", { duration: 12 }), undefined, START), 12);
});
