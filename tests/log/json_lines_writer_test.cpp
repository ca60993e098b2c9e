// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/json_lines_writer.hpp"

#include <limits>
#include <string>
#include <vector>

#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using contrapunto::test::TemporaryFolder;

namespace {

std::vector<nlohmann::json> lines_of(const std::filesystem::path& path) {
  std::istringstream lines(read_file(path));
  std::vector<nlohmann::json> result;
  for (std::string line; std::getline(lines, line);) result.push_back(nlohmann::json::parse(line));
  return result;
}

StepRecord at_step(std::int64_t step) {
  StepRecord record{.step = step};
  record.add("samples", 256.0 * static_cast<double>(step));
  record.add("loss", 1.0 / static_cast<double>(step + 1)).add("lr", 1e-3);
  return record;
}

}  // namespace

TEST_CASE("Every line is readable at once and has every digit", "[log][cpu]") {
  const TemporaryFolder folder;
  JsonLinesWriter writer(folder / "log.jsonl");
  writer.on_step(at_step(2));
  writer.on_evaluation({2, {{"top1", 0.1 + 0.2}}});
  const auto lines = lines_of(folder / "log.jsonl");
  REQUIRE(lines.size() == 2);
  REQUIRE(lines[0]["step"] == 2);
  REQUIRE(lines[0]["samples"] == 512);
  REQUIRE(lines[0]["loss"].get<double>() == 1.0 / 3);
  REQUIRE(lines[0]["lr"].get<double>() == 1e-3);
  REQUIRE(lines[1]["top1"].get<double>() == 0.1 + 0.2);
  REQUIRE(read_file(folder / "log.jsonl").rfind("{\"step\":2,", 0) == 0);
}

TEST_CASE("A loss that is not finite stays valid JSON", "[log][cpu]") {
  const TemporaryFolder folder;
  JsonLinesWriter writer(folder / "log.jsonl");
  writer.on_step({1, {{"loss", std::numeric_limits<double>::quiet_NaN()}}});
  REQUIRE(lines_of(folder / "log.jsonl")[0]["loss"].is_null());
}

TEST_CASE("A resumed log has no repeated step and no partial line", "[log][cpu]") {
  const TemporaryFolder folder;
  {
    JsonLinesWriter writer(folder / "log.jsonl");
    writer.on_evaluation({0, {{"top1", 0.1}}});
    for (std::int64_t step = 1; step <= 5; ++step) writer.on_step(at_step(step));
  }
  {
    std::ofstream crash(folder / "log.jsonl", std::ios::app);
    crash << R"({"comment":"no step"})"
          << "\n"
          << R"({"step":6,"lo)";
  }
  JsonLinesWriter writer(folder / "log.jsonl", 3);
  writer.on_step(at_step(4));
  const auto lines = lines_of(folder / "log.jsonl");
  REQUIRE(lines.size() == 6);
  for (int i = 0; i < 4; ++i) REQUIRE(lines[static_cast<std::size_t>(i)]["step"] == i);
  REQUIRE(lines[4].contains("comment"));
  REQUIRE(lines[5]["step"] == 4);
}

TEST_CASE("A new log replaces an older one, and resuming works without one", "[log][cpu]") {
  const TemporaryFolder folder;
  JsonLinesWriter(folder / "log.jsonl").on_step(at_step(1));
  JsonLinesWriter(folder / "log.jsonl").on_step(at_step(2));
  REQUIRE(lines_of(folder / "log.jsonl").size() == 1);
  JsonLinesWriter(folder / "other.jsonl", 10).on_step(at_step(11));
  REQUIRE(lines_of(folder / "other.jsonl").size() == 1);
}
