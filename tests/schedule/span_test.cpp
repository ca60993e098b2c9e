// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/schedule/span.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A span is read in every unit", "[schedule][cpu]") {
  const auto is = [](const char* text, double value, SpanUnit unit) {
    const auto span = parse_span(text);
    CAPTURE(text, span.value);
    CHECK(span.value == Approx(value).epsilon(1e-15));
    CHECK(span.unit == unit);
  };
  is("2000", 2000, SpanUnit::kSteps);
  is(" 2000 steps ", 2000, SpanUnit::kSteps);
  is("1 step", 1, SpanUnit::kSteps);
  is("0", 0, SpanUnit::kSteps);
  is("1.5 epochs", 1.5, SpanUnit::kEpochs);
  is("1 epoch", 1, SpanUnit::kEpochs);
  is("1000000 samples", 1e6, SpanUnit::kSamples);
  is("1e6samples", 1e6, SpanUnit::kSamples);
  is("5%", 0.05, SpanUnit::kShare);
  is("12.5 %", 0.125, SpanUnit::kShare);
  is("100%", 1.0, SpanUnit::kShare);
}

TEST_CASE("A span that is mistyped says what is wrong and what would be right", "[schedule][cpu]") {
  CHECK_THROWS_WITH(parse_span("5 epchs"), Contains("\"epchs\"") && Contains("1.5 epochs"));
  CHECK_THROWS_WITH(parse_span("5 Steps"), Contains("unknown unit \"Steps\""));
  CHECK_THROWS_WITH(parse_span(""), Contains("does not start with a number"));
  CHECK_THROWS_WITH(parse_span("five steps"), Contains("\"five steps\""));
  CHECK_THROWS_WITH(parse_span("-3"), Contains("negative"));
  CHECK_THROWS_WITH(parse_span("nan"), Contains("nan"));
  CHECK_THROWS_WITH(parse_span("inf steps"), Contains("inf"));
  CHECK_THROWS_WITH(parse_span("1e400 steps"), Contains("1e400"));
  CHECK_THROWS_WITH(parse_span("0.5"), Contains("part of a step"));
  CHECK_THROWS_WITH(parse_span("10.5 samples"), Contains("part of a sample"));
  CHECK_THROWS_WITH(parse_span("101%"), Contains("more than the whole run"));
  CHECK_THROWS_WITH(parse_span("20'000"), Contains("'000"));
  CHECK_THROWS_WITH(parse_span("2000 steps 3"), Contains("steps 3"));
}

TEST_CASE("A span written out is read as the same span", "[schedule][cpu]") {
  for (const auto* text : {"2000 steps", "1.5 epochs", "12800000000 samples", "5%", "0.1%"}) {
    const auto span = parse_span(text);
    CHECK(to_string(span) == text);
    CHECK(parse_span(to_string(span)).value == Approx(span.value).epsilon(1e-14));
  }
}

TEST_CASE("A span becomes steps", "[schedule][cpu]") {
  const RunLength run{.dataset_samples = 50'000, .batch_size = 256, .total_steps = 1755};
  CHECK(run.steps_per_epoch() == 195);
  CHECK(resolve_steps(parse_span("2000"), run) == 2000);
  CHECK(resolve_steps(parse_span("9 epochs"), run) == 1755);
  CHECK(resolve_steps(parse_span("0.5 epochs"), run) == 98);  // 97.5
  CHECK(resolve_steps(parse_span("51200 samples"), run) == 200);
  CHECK(resolve_steps(parse_span("5%"), run) == 88);  // 87.75
  CHECK(resolve_steps(parse_span("100%"), run) == 1755);
}

TEST_CASE("A span above 0 never rounds away, and 0 stays 0", "[schedule][cpu]") {
  const RunLength run{.dataset_samples = 512, .batch_size = 256, .total_steps = 4};
  for (const auto* text : {"1%", "1 sample", "0.1 epochs"})
    CHECK(resolve_steps(parse_span(text), run) == 1);
  for (const auto* text : {"0", "0%", "0 samples", "0 epochs"})
    CHECK(resolve_steps(parse_span(text), run) == 0);
}

TEST_CASE("A span that cannot be resolved says what is missing", "[schedule][cpu]") {
  CHECK_THROWS_WITH(resolve_steps(parse_span("5%"), {}), Contains("total_steps"));
  CHECK_THROWS_WITH(resolve_steps(parse_span("10 samples"), {}), Contains("batch_size"));
  CHECK_THROWS_WITH(resolve_steps(parse_span("1 epoch"), {.batch_size = 8}),
                    Contains("dataset_samples"));
  CHECK_THROWS_WITH(
      resolve_steps(parse_span("1 epoch"), {.dataset_samples = 100, .batch_size = 256}),
      Contains("100") && Contains("256"));
  CHECK_THROWS_WITH(resolve_steps({-1.0, SpanUnit::kSteps}, {}), Contains("-1"));
  CHECK_THROWS_WITH(resolve_steps({1.5, SpanUnit::kShare}, {.total_steps = 10}), Contains("150%"));
}
