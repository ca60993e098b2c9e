// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/checkpoint/checkpoint_folder.hpp"

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

std::map<std::string, State> weights(double value) {
  State model;
  model.tensors["w"] = torch::full({3}, value);
  return {{"model", model}};
}

std::vector<std::int64_t> steps(const CheckpointFolder& folder) {
  std::vector<std::int64_t> result;
  for (const auto& saved : folder.list()) result.push_back(saved.step);
  return result;
}

using Steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("The newest three and the best one stay", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path() / "a/b");
  const std::vector<double> accuracy{0.1, 0.9, 0.3, 0.4, 0.5, 0.6};
  for (std::size_t i = 0; i < accuracy.size(); ++i)
    folder.save(static_cast<std::int64_t>(i), weights(0), accuracy[i]);
  REQUIRE(steps(folder) == Steps{1, 3, 4, 5});
  REQUIRE(folder.best()->step == 1);
  REQUIRE(*folder.best()->metric == 0.9);
  REQUIRE(folder.latest()->step == 5);
  REQUIRE(folder.latest()->path == disk.path() / "a/b/step-000000005");
}

TEST_CASE("A loss as the metric keeps the lowest, and milestones stay forever",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path(),
                                {.last = 1, .best = 2, .every = 400, .higher_is_better = false});
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  folder.save(100, weights(0), 2.0);
  folder.save(200, weights(0), nan);
  folder.save(400, weights(0), 5.0);
  folder.save(500, weights(0), 1.0);
  folder.save(600, weights(0));
  folder.save(700, weights(0), 2.0);
  folder.save(900, weights(0));
  // Of the two checkpoints with 2.0, the newer one counts as better.
  REQUIRE(steps(folder) == Steps{400, 500, 700, 900});
  REQUIRE(folder.best()->step == 500);
}

TEST_CASE("A saved checkpoint has its step and metric", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path());
  const auto path = folder.save(12, weights(3), 0.5);
  const auto states = load_checkpoint(path);
  REQUIRE(states.at("checkpoint").scalar<std::int64_t>("step") == 12);
  REQUIRE(states.at("checkpoint").scalar<double>("metric") == 0.5);
  REQUIRE(states.at("model").tensor("w").equal(torch::full({3}, 3.0)));
}

TEST_CASE("Steps beyond nine digits are still found and sorted", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path());
  folder.save(10'000'000'000, weights(0));
  folder.save(999'999'999, weights(0));
  REQUIRE(steps(folder) == Steps{999'999'999, 10'000'000'000});
}

TEST_CASE("A damaged newest checkpoint is named, and the one before it is chosen",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path());
  folder.save(1, weights(1), 0.1);
  folder.save(2, weights(2), 0.2);
  std::filesystem::resize_file(disk / "step-000000002" / "state.safetensors", 20);
  REQUIRE(folder.latest()->step == 1);
  REQUIRE(folder.best()->step == 1);
  REQUIRE_THAT(folder.list().back().problem,
               Contains("step-000000002") && Contains("state.safetensors has 20 bytes"));
  REQUIRE(folder.list().front().problem.empty());
}

TEST_CASE("Interrupted saves are ignored, and the next save removes them", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path());
  folder.save(1, weights(1));
  std::filesystem::copy(disk / "step-000000001", disk / "step-000000002.tmp-77");
  std::filesystem::create_directory(disk / "step-3");
  std::filesystem::create_directory(disk / "notes.tmp-1");
  REQUIRE(steps(folder) == Steps{1});
  folder.save(2, weights(2));
  REQUIRE(disk.names() ==
          std::vector<std::string>{"notes.tmp-1", "step-000000001", "step-000000002", "step-3"});
}

TEST_CASE("Resuming from an older checkpoint removes the newer ones only on request",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path(), {.last = 2, .best = 0});
  folder.save(10, weights(0));
  folder.save(20, weights(0));
  folder.save(5, weights(0));
  REQUIRE(steps(folder) == Steps{5, 10, 20});
  folder.discard_after(10);
  REQUIRE(steps(folder) == Steps{5, 10});
}

TEST_CASE("A folder without checkpoints has no latest and no best", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk / "not there yet");
  REQUIRE(folder.list().empty());
  REQUIRE_FALSE(folder.latest());
  REQUIRE_FALSE(folder.best());
}

TEST_CASE("Invalid requests to a checkpoint folder are refused", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  REQUIRE_THROWS_WITH(CheckpointFolder(disk.path(), {.last = 0}), Contains("last = 0"));
  const CheckpointFolder folder(disk.path());
  REQUIRE_THROWS_WITH(folder.save(-1, weights(0)), Contains("-1"));
  REQUIRE_THROWS_WITH(folder.save(1, {{"checkpoint", State{}}}), Contains("'checkpoint'"));
}

TEST_CASE("A part that a checkpoint lacks is named with those it has", "[checkpoint][cpu]") {
  const test::TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path() / "run");
  REQUIRE_FALSE(checkpoints.latest());
  const auto parts = load_checkpoint(checkpoints.save(7, {{"model", State{}}}));
  REQUIRE_NOTHROW(checkpoint_part(parts, "model"));
  REQUIRE_THROWS_WITH(checkpoint_part(parts, "ema"),
                      Catch::Matchers::Contains("'ema'") && Catch::Matchers::Contains("model"));
}
