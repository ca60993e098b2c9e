// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/write_curves.hpp"

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "contrapunto/log/json_lines_writer.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

bool has_gnuplot() {
  const bool found = std::system("command -v gnuplot > /dev/null 2>&1") == 0;
  if (!found) WARN("gnuplot is not installed; skipping");
  return found;
}

/// Width or height from a PNG's first chunk.
std::int64_t big_endian(const std::string& bytes, std::size_t at) {
  std::int64_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i)
    value = value * 256 + static_cast<unsigned char>(bytes.at(i));
  return value;
}

}  // namespace

TEST_CASE("Curves are drawn as a PNG with a panel for each logged value", "[log][cpu]") {
  if (!has_gnuplot()) return;
  const TemporaryFolder folder;
  {
    JsonLinesWriter writer(folder / "log.jsonl");
    for (std::int64_t step = 1; step <= 5000; ++step)
      writer.on_step({step,
                      {{"loss", step == 77 ? std::numeric_limits<double>::quiet_NaN()
                                           : 5.0 / static_cast<double>(step)},
                       {"lr", 1e-3}}});
    writer.on_evaluation({2500, {{"top1", 0.3}, {"top5", 0.7}}});
  }
  // No part of the title may be read as a command.
  const bool drawn = write_curves(folder / "log.jsonl", folder / "c.png",
                                  {.title = "it's `touch x` $(touch y)\nset output 'z'",
                                   .panel_width = 300,
                                   .panel_height = 200});
  REQUIRE(drawn);
  const auto png = read_file(folder / "c.png");
  REQUIRE(png.substr(0, 4) == "\x89PNG");
  REQUIRE(big_endian(png, 16) == 2 * 300);       // loss, learning rate,
  REQUIRE(big_endian(png, 20) == 2 * 200 + 40);  // accuracy: two rows
  REQUIRE(folder.names() == std::vector<std::string>{"c.png", "log.jsonl"});
  for (const auto* name : {"x", "y", "z"}) REQUIRE_FALSE(std::filesystem::exists(name));
}

TEST_CASE(
    "each value that the library does not know has a panel, and the parts of the loss share one",
    "[log][cpu]") {
  const std::map<std::string, contrapunto::detail::Curve> curves{
      {"loss", {{1, 2.0}}},     {"loss/affinity", {{1, 1.0}}}, {"epoch", {{1, 0.5}}},
      {"samples", {{1, 64.0}}}, {"feature_rank", {{1, 7.0}}},  {"text_to_image_R@1", {{1, 0.25}}}};
  const auto panels = contrapunto::detail::curve_panels(curves);
  REQUIRE(panels.size() == 3);
  REQUIRE(panels[0].names == std::vector<std::string>{"loss", "loss/affinity"});
  REQUIRE(panels[1].title == "Recall");
  REQUIRE(panels[2].title == "feature_rank");
}

TEST_CASE("Evaluations are drawn over epochs, with a dashed curve for each other run",
          "[log][cpu]") {
  std::vector<EvaluationSeries> series(3);
  series[0].name = "this run";
  series[0].records = {{100, {{"samples", 1}, {"epoch", 1}, {"top1", 0.2}, {"loss", 3}}},
                       {200, {{"samples", 2}, {"epoch", 2}, {"top1", 0.4}, {"loss", 2}}}};
  series[1].name = "it's a paper";
  series[1].records = {{0, {{"epoch", 1}, {"top1", 0.15}, {"recall@1", 0.3}}}};
  series[2].name = "other";
  series[2].records = {
      {0, {{"epoch", 2}, {"top1", std::numeric_limits<double>::quiet_NaN()}, {"top5", 0.6}}}};
  const auto panels = contrapunto::detail::evaluation_panels(series);
  REQUIRE(panels.size() == 3);
  CHECK(panels[0].title == "Loss");
  CHECK(panels[1].names == std::vector<std::string>{"top1", "top5"});
  CHECK(panels[2].title == "Recall");
  const auto lines = contrapunto::detail::lines_of(panels[1], {}, series);
  REQUIRE(lines.size() == 3);
  CHECK((lines[0].title == "top1" && !lines[0].dashed));
  CHECK(lines[0].curve == contrapunto::detail::Curve{{1, 0.2}, {2, 0.4}});
  CHECK((lines[1].title == "top1, it's a paper" && lines[1].dashed));
  CHECK(lines[2].title == "top5, other");

  // The values of the run's own evaluations leave the curves over steps, and nothing else does.
  std::map<std::string, contrapunto::detail::Curve> curves{
      {"loss", {{100, 3.5}, {100, 3}, {200, 2}, {300, 2}}}, {"top1", {{100, 0.2}, {200, 0.4}}}};
  contrapunto::detail::remove_evaluations(curves, series[0]);
  CHECK(curves["loss"] == contrapunto::detail::Curve{{100, 3.5}, {300, 2}});
  CHECK(curves["top1"].empty());

  if (!has_gnuplot()) return;
  const TemporaryFolder folder;
  {
    JsonLinesWriter writer(folder / "log.jsonl");
    writer.on_step({100, {{"loss", 3.5}}});
    for (const auto& record : series[0].records) writer.on_evaluation(record);
  }
  REQUIRE(write_curves(folder / "log.jsonl", folder / "c.png",
                       {.evaluations = series, .panel_width = 300, .panel_height = 200}));
  CHECK(big_endian(read_file(folder / "c.png"), 20) == 2 * 200 + 40);  // 4 panels in 2 rows
}

TEST_CASE("A single point and flat curves can be drawn", "[log][cpu]") {
  if (!has_gnuplot()) return;
  const TemporaryFolder folder;
  write_file_atomically(folder / "log.jsonl", "{\"step\":1,\"loss\":2.5,\"lr\":0.001}\n{\"st");
  REQUIRE(write_curves(folder / "log.jsonl", folder / "c.png"));
  REQUIRE(read_file(folder / "c.png").substr(0, 4) == "\x89PNG");
  write_file_atomically(folder / "log.jsonl",
                        "{\"step\":1,\"gradient_norm\":0}\n{\"step\":2,\"gradient_norm\":3}\n");
  REQUIRE(write_curves(folder / "log.jsonl", folder / "c.png"));
}

TEST_CASE("Curves that cannot be drawn raise with the remedy", "[log][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "log.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  REQUIRE_FALSE(
      write_curves(folder / "log.jsonl", folder / "c.png", {.gnuplot = "no-such-gnuplot"}));
  // A program that may not run, and a path through a file.
  write_file_atomically(folder / "gnuplot", "#!/bin/sh\n");
  std::filesystem::permissions(folder / "gnuplot", std::filesystem::perms::owner_read);
  for (const auto& program : {folder / "gnuplot", folder / "log.jsonl/gnuplot"})
    REQUIRE_FALSE(write_curves(folder / "log.jsonl", folder / "c.png", {.gnuplot = program}));
  std::filesystem::remove(folder / "gnuplot");
  REQUIRE_FALSE(std::filesystem::exists(folder / "c.png"));
  REQUIRE_THROWS_WITH(write_curves(folder / "log.jsonl", folder / "c.png", {.gnuplot = "false"}),
                      Contains("'false' failed"));
  REQUIRE_THROWS_WITH(write_curves(folder / "log.jsonl", folder / "c.png", {.gnuplot = "true"}),
                      Contains("did not write a PNG"));
  write_file_atomically(folder / "empty.jsonl", "");
  REQUIRE_THROWS_WITH(write_curves(folder / "empty.jsonl", folder / "c.png"),
                      Contains("empty.jsonl") && Contains("no numbers"));
  REQUIRE_THROWS_WITH(write_curves(folder / "none.jsonl", folder / "c.png"),
                      Contains("none.jsonl"));
  REQUIRE(folder.names() == std::vector<std::string>{"empty.jsonl", "log.jsonl"});
}

TEST_CASE("Smoothing keeps a straight line and thinning keeps the mean", "[log][cpu]") {
  contrapunto::detail::Curve line;
  double sum = 0;
  for (int i = 0; i < 1000; ++i) {
    line.emplace_back(i, 3.0 * i);
    sum += 3.0 * i;
  }
  for (const auto& [x, y] : contrapunto::detail::smoothed(line, 20))
    REQUIRE(y == Approx(3 * x).margin(1e-9));
  const auto thin = contrapunto::detail::thinned(line, 100);
  REQUIRE(thin.size() == 100);
  double thin_sum = 0;
  for (const auto& point : thin) thin_sum += point.second;
  REQUIRE(thin_sum / 100 == Approx(sum / 1000));
}
