// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/progress_line.hpp"

#include <algorithm>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace contrapunto;

namespace {

StepRecord at_step(std::int64_t step) {
  return {step,
          {{"samples", 1.0},
           {"loss", 2.34567},
           {"lr", 5e-4},
           {"scale", 14.2857},
           {"gradient_norm", 0.5},
           {"epoch", 1.25},
           {"samples_per_second", 1234.4},
           {"data_wait_fraction", 0.031}}};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::istringstream stream(text);
  std::vector<std::string> parts;
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

/// Columns on a terminal: bytes that begin a character; our text has no wide ones.
std::int64_t columns(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("A loader that does not keep up is shown with what it does most of the time",
          "[log][cpu]") {
  const auto line_of = [](double waiting, double reading) {
    std::ostringstream out;
    ProgressLine line(out, {.total_steps = 10});
    line.on_step({1,
                  {{"data_wait_fraction", waiting},
                   {"data_read_fraction", reading},
                   {"data_decode_fraction", 0.5},
                   {"data_tokenize_fraction", 0.5 - reading}}});
    return out.str();
  };
  CHECK(mentions(line_of(0.31, 0.1), "data wait 31 % (decode)  "));
  CHECK(mentions(line_of(0.05, 0.6), "data wait 5 % (read)  "));
  CHECK(mentions(line_of(0.04, 0.6), "data wait 4 %  "));
  CHECK_FALSE(mentions(line_of(0.31, 0.1), "fraction"));
}

TEST_CASE("Plain lines are printed at the given interval and at the first and last step",
          "[log][cpu]") {
  std::ostringstream out;
  double now = 0;
  ProgressLine progress(out, {.total_steps = 250, .every = 100, .clock = [&] { return now; }});
  for (std::int64_t step = 1; step <= 250; ++step, now += 0.5) progress.on_step(at_step(step));
  progress.finish();
  const auto lines = split(out.str(), '\n');
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].rfind("1/250 0.4 %  loss 2.3457", 0) == 0);
  CHECK(lines[1] ==
        "100/250 40.0 %  loss 2.3457  lr 0.0005  scale 14.29  grad 0.5  epoch 1.25  "
        "1,234 samples/s  data wait 3 %  ETA 1:15");
  CHECK(lines[2].rfind("200/250", 0) == 0);
  CHECK(mentions(lines[3], "100.0 %"));
  CHECK(mentions(lines[3], "ETA 0:00"));
  CHECK(out.str().find('\x1b') == std::string::npos);
}

TEST_CASE("Plain lines are printed when only some steps are reported", "[log][cpu]") {
  std::ostringstream out;
  ProgressLine progress(out, {.every = 100});
  for (std::int64_t step = 7; step <= 400; step += 30) progress.on_step(at_step(step));
  const auto lines = split(out.str(), '\n');
  REQUIRE(lines.size() == 4);  // 7, 127, 217, 307
  CHECK(lines[1].rfind("127 steps", 0) == 0);
  CHECK_FALSE(mentions(lines[1], "ETA"));
}

TEST_CASE("The time left of a resumed run is estimated from its own steps", "[log][cpu]") {
  std::ostringstream out;
  double now = 0;
  ProgressLine progress(out, {.total_steps = 1000, .every = 1, .clock = [&] { return now; }});
  progress.on_step(at_step(900));
  now += 20;
  progress.on_step(at_step(910));
  const auto lines = split(out.str(), '\n');
  CHECK(mentions(lines[0], "ETA ?"));
  CHECK(mentions(lines[1], "ETA 3:00"));
}

TEST_CASE("A loss that is no longer finite is shown at once", "[log][cpu]") {
  std::ostringstream out;
  ProgressLine progress(out, {.total_steps = 1000, .every = 100});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  progress.on_step(at_step(1));
  progress.on_step({42, {{"loss", nan}}});
  progress.on_step({43, {{"loss", nan}}});
  const auto lines = split(out.str(), '\n');
  REQUIRE(lines.size() == 2);
  CHECK(mentions(lines[1], "42/1,000"));
  CHECK(mentions(lines[1], "LOSS NaN!"));
}

TEST_CASE("A line in place is redrawn within the width, and not too often", "[log][cpu]") {
  for (const std::int64_t width : {20, 40, 60, 80, 100, 160, 300}) {
    std::ostringstream out;
    double now = 0;
    ProgressLine progress(
        out, {.total_steps = 1000, .in_place = true, .width = width, .clock = [&] { return now; }});
    for (std::int64_t step = 1; step <= 1000; ++step, now += 0.01) progress.on_step(at_step(step));
    progress.finish();
    const auto text = out.str();
    const auto draws = split(text, '\r');
    INFO("width " << width);
    CHECK(draws.size() > 90);
    CHECK(draws.size() < 110);
    for (const auto& draw : draws) CHECK(columns(draw.substr(0, draw.find('\x1b'))) < width);
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    CHECK(mentions(draws.back(), "100.0 %"));
    if (width >= 40) CHECK(mentions(draws.back(), "loss"));
    if (width >= 60) CHECK(mentions(draws.back(), "██████"));
    if (width >= 160) CHECK(mentions(draws.back(), "data wait"));
  }
}

TEST_CASE("A note is on its own line above the bar", "[log][cpu]") {
  std::ostringstream out;
  ProgressLine progress(out, {.total_steps = 10, .in_place = true});
  progress.on_step(at_step(1));
  progress.note("zero-shot 61.2 %");
  progress.on_step(at_step(10));
  progress.finish();
  CHECK(mentions(out.str(), "\r\x1b[Kzero-shot 61.2 %\n\r"));
  CHECK(out.str().back() == '\n');
}

TEST_CASE("Values with names of the user are shown by name", "[log][cpu]") {
  std::ostringstream out;
  ProgressLine progress(out, {.total_steps = 10});
  progress.on_step({1, {{"loss", 2.0}, {"loss/affinity", 0.25}, {"teacher_agreement", 0.875}}});
  CHECK(mentions(out.str(), "loss 2.0000  loss/affinity 0.25  teacher_agreement 0.875"));
  progress.on_evaluation({5, {{"zero_shot_top1", 0.612}, {"median_rank", 3.0}, {"R@5", 0.5}}});
  CHECK(mentions(out.str(),
                 "evaluation after step 5:  zero_shot_top1 61.20 %  median_rank 3  "
                 "R@5 50.00 %\n"));
  progress.on_evaluation({7, {{"samples", 1800.0}, {"epoch", 1.5}, {"top1", 0.5}}});
  CHECK(mentions(out.str(), "evaluation after step 7:  epoch 1.50  top1 50.00 %\n"));
}

TEST_CASE("Invalid progress options are refused", "[log][cpu]") {
  std::ostringstream out;
  CHECK_THROWS_WITH(ProgressLine(out, {.every = 0}), Catch::Matchers::Contains("every"));
  CHECK_THROWS_WITH(ProgressLine(out, {.width = 3}), Catch::Matchers::Contains("width"));
}
