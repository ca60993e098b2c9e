// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/schedule/duration.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A duration is read in every unit", "[schedule][cpu]") {
  const auto is = [](const char* text, double value, DurationUnit unit) {
    const auto span = parse_duration(text);
    CAPTURE(text, span.value);
    CHECK(span.value == Approx(value).epsilon(1e-15));
    CHECK(span.unit == unit);
  };
  is("2000", 2000, DurationUnit::kSteps);
  is(" 2000 steps ", 2000, DurationUnit::kSteps);
  is("1 step", 1, DurationUnit::kSteps);
  is("0", 0, DurationUnit::kSteps);
  is("1.5 epochs", 1.5, DurationUnit::kEpochs);
  is("1 epoch", 1, DurationUnit::kEpochs);
  is("1000000 samples", 1e6, DurationUnit::kSamples);
  is("1e6samples", 1e6, DurationUnit::kSamples);
  is("5%", 0.05, DurationUnit::kFraction);
  is("12.5 %", 0.125, DurationUnit::kFraction);
  is("100%", 1.0, DurationUnit::kFraction);
}

TEST_CASE("A mistyped duration raises with the fault and valid examples", "[schedule][cpu]") {
  CHECK_THROWS_WITH(parse_duration("5 epchs"), Contains("\"epchs\"") && Contains("1.5 epochs"));
  CHECK_THROWS_WITH(parse_duration("5 Steps"), Contains("unknown unit \"Steps\""));
  CHECK_THROWS_WITH(parse_duration(""), Contains("does not start with a number"));
  CHECK_THROWS_WITH(parse_duration("five steps"), Contains("\"five steps\""));
  CHECK_THROWS_WITH(parse_duration("-3"), Contains("negative"));
  CHECK_THROWS_WITH(parse_duration("nan"), Contains("nan"));
  CHECK_THROWS_WITH(parse_duration("inf steps"), Contains("inf"));
  CHECK_THROWS_WITH(parse_duration("1e400 steps"), Contains("1e400"));
  CHECK_THROWS_WITH(parse_duration("0.5"), Contains("fraction of a step"));
  CHECK_THROWS_WITH(parse_duration("10.5 samples"), Contains("fraction of a sample"));
  CHECK_THROWS_WITH(parse_duration("101%"), Contains("more than the whole run"));
  CHECK_THROWS_WITH(parse_duration("20'000"), Contains("'000"));
  CHECK_THROWS_WITH(parse_duration("2000 steps 3"), Contains("steps 3"));
}

TEST_CASE("A duration that is written as text is read as the same duration", "[schedule][cpu]") {
  for (const auto* text : {"2000 steps", "1.5 epochs", "12800000000 samples", "5%", "0.1%"}) {
    const auto span = parse_duration(text);
    CHECK(to_string(span) == text);
    CHECK(parse_duration(to_string(span)).value == Approx(span.value).epsilon(1e-14));
  }
}

TEST_CASE("A duration converts to steps", "[schedule][cpu]") {
  const RunLength run{.dataset_samples = 50'000, .batch_size = 256, .total_steps = 1755};
  CHECK(run.steps_per_epoch() == 195);
  CHECK(to_steps(parse_duration("2000"), run) == 2000);
  CHECK(to_steps(parse_duration("9 epochs"), run) == 1755);
  CHECK(to_steps(parse_duration("0.5 epochs"), run) == 98);  // 97.5
  CHECK(to_steps(parse_duration("51200 samples"), run) == 200);
  CHECK(to_steps(parse_duration("5%"), run) == 88);  // 87.75
  CHECK(to_steps(parse_duration("100%"), run) == 1755);
}

TEST_CASE("A duration above 0 has at least one step, and 0 stays 0", "[schedule][cpu]") {
  const RunLength run{.dataset_samples = 512, .batch_size = 256, .total_steps = 4};
  for (const auto* text : {"1%", "1 sample", "0.1 epochs"})
    CHECK(to_steps(parse_duration(text), run) == 1);
  for (const auto* text : {"0", "0%", "0 samples", "0 epochs"})
    CHECK(to_steps(parse_duration(text), run) == 0);
}

TEST_CASE("A duration that cannot be converted to steps raises and names what is missing",
          "[schedule][cpu]") {
  CHECK_THROWS_WITH(to_steps(parse_duration("5%"), {}), Contains("total_steps"));
  CHECK_THROWS_WITH(to_steps(parse_duration("10 samples"), {}), Contains("batch_size"));
  CHECK_THROWS_WITH(to_steps(parse_duration("1 epoch"), {.batch_size = 8}),
                    Contains("dataset_samples"));
  CHECK_THROWS_WITH(
      to_steps(parse_duration("1 epoch"), {.dataset_samples = 100, .batch_size = 256}),
      Contains("100") && Contains("256"));
  CHECK_THROWS_WITH(to_steps({-1.0, DurationUnit::kSteps}, {}), Contains("-1"));
  CHECK_THROWS_WITH(to_steps({1.5, DurationUnit::kFraction}, {.total_steps = 10}),
                    Contains("150%"));
}

TEST_CASE("A record of the progress has samples and epochs", "[schedule][cpu]") {
  const RunLength run{.dataset_samples = 1000, .batch_size = 300, .total_steps = 30};
  RunProgress progress;
  for (int i = 0; i < 6; ++i) progress.advance(300);
  const auto record = run.record(progress);
  CHECK(record.step == 6);
  CHECK(record.find("samples") == 1800.0);
  CHECK(record.find("epoch") == 2.0);  // An epoch has 3 full batches.
}
