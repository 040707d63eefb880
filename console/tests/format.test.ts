import assert from "node:assert/strict";
import { test } from "node:test";
import { count, fileSize, parseTime, span, spokenSpan, timecode } from "../src/format.ts";

test("times in an address", () => {
  const said: [string | null, number | null][] = [
    ["90", 90],
    ["1:30", 90],
    ["1:02:03", 3723],
    ["1h2m3s", 3723],
    ["2m", 120],
    ["soon", null],
    ["", null],
    [null, null],
  ];
  for (const [text, seconds] of said) assert.equal(parseTime(text), seconds, String(text));
});

test("durations, spans, sizes and plurals", () => {
  assert.equal(timecode(3723.9), "1:02:03");
  assert.equal(timecode(67), "1:07");
  assert.equal(span(3.4), "3.4 s");
  assert.equal(span(720), "12 min");
  assert.equal(span(3900), "1 h 5 min");
  assert.equal(spokenSpan(247), "4 minutes, 7 seconds");
  assert.equal(spokenSpan(0), "0 seconds");
  assert.equal(fileSize(2_345_678), "2.3 MB");
  assert.equal(fileSize(2_345_678_901), "2.3 GB");
  assert.equal(count(1, "take", "takes"), "1 take");
  assert.equal(count(1200, "take", "takes"), "1,200 takes");
});
