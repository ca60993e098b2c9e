// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/checkpoint/run_folder.hpp"

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "contrapunto/core/run_progress.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

/// A run of one linear layer whose weights are set to its step.
struct Run {
  torch::nn::Linear model{2, 2};
  RunProgress progress;
  CheckpointParts parts;

  Run() { parts.add("model", *model).add("progress", progress); }
  void advance() {
    const at::NoGradGuard no_grad;
    progress.advance(32);
    model->weight.fill_(static_cast<double>(progress.step));
  }
};

/// A new run in `path` that saves each of its first `steps` steps.
void save_steps(const std::filesystem::path& path, int steps) {
  const RunFolder folder(path);
  Run run;
  for (int i = 0; i < steps; ++i) {
    run.advance();
    folder.save(run.progress.step, run.parts);
  }
}

}  // namespace

TEST_CASE("A list of parts restores what it saved", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder folder(disk / "run");
    REQUIRE_FALSE(folder.resumes());
    Run run;
    for (int i = 0; i < 3; ++i) {
      run.advance();
      folder.save(run.progress.step, run.parts);
    }
  }
  const RunFolder folder(disk / "run", {.resume = "latest"});
  REQUIRE(folder.resumes());
  Run run;
  folder.load(run.parts);
  REQUIRE(run.progress.step == 3);
  REQUIRE(run.progress.samples == 96);
  REQUIRE(run.model->weight.equal(torch::full({2, 2}, 3.0)));
}

TEST_CASE("A new run does not mix with an earlier run in its folder", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  save_steps(disk / "run", 1);
  REQUIRE_THROWS_WITH(RunFolder(disk / "run"),
                      Contains("holds 1 checkpoint of an earlier run") && Contains("step 1"));
  REQUIRE(RunFolder(disk / "run", {.resume = "auto"}).resumes());
  REQUIRE_FALSE(RunFolder(disk / "other", {.resume = "auto"}).resumes());
  REQUIRE_THROWS_WITH(RunFolder(disk / "empty", {.resume = "latest"}),
                      Contains("no complete checkpoint"));
  REQUIRE_THROWS_WITH(RunFolder(disk / "empty", {.resume = (disk / "none").string()}),
                      Contains("there is no checkpoint") && Contains("none"));
}

TEST_CASE("Two runs cannot share a folder, and the lock ends with the run", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder first(disk / "run");
    REQUIRE_THROWS_WITH(RunFolder(disk / "run"),
                        Contains("a run that is still going on") && Contains("process "));
  }
  REQUIRE_NOTHROW(RunFolder(disk / "run"));
}

TEST_CASE("Opening a folder with look_only writes nothing", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const RunFolder folder(disk / "run", {.look_only = true});
  REQUIRE_FALSE(std::filesystem::exists(disk / "run"));
}

TEST_CASE("A run that resumes from an older checkpoint removes the later ones",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  save_steps(disk / "run", 3);
  const RunFolder folder(disk / "run", {.resume = (disk / "run/step-000000002").string()});
  Run run;
  folder.load(run.parts);
  REQUIRE(run.progress.step == 2);
  REQUIRE(folder.checkpoints().latest()->step == 2);
}

TEST_CASE("A damaged newest checkpoint is skipped with a note", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  save_steps(disk / "run", 2);
  std::filesystem::resize_file(disk / "run/step-000000002/state.safetensors", 10);
  const RunFolder folder(disk / "run", {.resume = "latest"});
  REQUIRE(folder.resume_from().filename() == "step-000000001");
  REQUIRE(folder.notes().size() == 2);
  REQUIRE_THAT(folder.notes()[0],
               Contains("skipped a damaged checkpoint") && Contains("step-000000002"));
  REQUIRE_THAT(folder.notes()[1], Contains("resumed from") && Contains("step-000000001"));
  REQUIRE(folder.earlier_config() == folder.config());
  REQUIRE(RunFolder(disk / "new").earlier_config().empty());
}

TEST_CASE("A checkpoint whose tensors changed on the disk is skipped like a truncated one",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  save_steps(disk / "run", 2);
  const auto flip_last_byte = [&](const std::string& step) {
    const auto file = disk / ("run/" + step + "/state.safetensors");
    auto bytes = read_file(file);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write_file_atomically(file, bytes);
  };
  flip_last_byte("step-000000002");
  for (const auto* resume : {"latest", "auto"}) {
    const RunFolder folder(disk / "run", {.resume = resume});
    REQUIRE(folder.resume_from().filename() == "step-000000001");
    REQUIRE_THAT(folder.notes()[0], Contains("skipped a damaged checkpoint") &&
                                        Contains("step-000000002") &&
                                        Contains("go on from another checkpoint"));
  }
  {  // A path is taken as given, and loading it says what is wrong.
    const RunFolder folder(disk / "run", {.resume = (disk / "run/step-000000002").string()});
    Run run;
    REQUIRE_THROWS_WITH(folder.load(run.parts), Contains("step-000000002") &&
                                                    Contains("state.safetensors is damaged") &&
                                                    Contains("go on from another checkpoint"));
  }
  // A restarted job must not start from nothing beside checkpoints that all are damaged.
  flip_last_byte("step-000000001");
  for (const auto* resume : {"latest", "auto"})
    REQUIRE_THROWS_WITH(RunFolder(disk / "run", {.resume = resume}),
                        Contains("no complete checkpoint") && Contains("step-000000001") &&
                            Contains("step-000000002"));
}

TEST_CASE("A checkpoint of other parts is refused before anything changes", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  save_steps(disk / "run", 1);
  const RunFolder folder(disk / "run", {.resume = "latest"});
  Run run;
  const auto before = run.model->weight.clone();
  CheckpointParts other;
  RunProgress progress, ema;
  other.add("progress", progress).add("ema", ema);
  REQUIRE_THROWS_WITH(folder.load(other),
                      Contains("lacks the part 'ema'") && Contains("holds the part 'model'"));
  REQUIRE(progress.step == 0);
  REQUIRE_THROWS_WITH(other.add("ema", progress),
                      Contains("'ema'") && Contains("is already in use"));
}

TEST_CASE("Weights that are not finite are never saved", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const RunFolder folder(disk / "run");
  Run run;
  run.advance();
  run.model->bias.detach()[0] = std::numeric_limits<double>::quiet_NaN();
  REQUIRE_THROWS_WITH(folder.save(1, run.parts),
                      Contains("'model'") && Contains("'bias'") && Contains("NaN"));
  REQUIRE_FALSE(folder.checkpoints().latest());
}

TEST_CASE("A snapshot does not change with the run", "[checkpoint][cpu]") {
  Run run;
  run.advance();
  const auto shared = run.parts.save();
  const auto copy = run.parts.snapshot();
  run.advance();
  REQUIRE(shared.at("model").tensor("weight").equal(torch::full({2, 2}, 2.0)));
  REQUIRE(copy.at("model").tensor("weight").equal(torch::full({2, 2}, 1.0)));
}

TEST_CASE("Rank 0 writes for all ranks, and every rank raises when it cannot",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  std::ofstream(disk / "file") << "not a folder";
  std::vector<std::string> failures(3), logs(3);
  std::vector<std::int64_t> resumed(3);
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    try {
      const RunFolder folder(disk / "file/run", {}, rank);
    } catch (const std::exception& error) {
      failures[r] = error_text(error);
    }
    {
      const RunFolder folder(disk / "run", {}, rank);
      Run run;
      run.advance();
      folder.save(run.progress.step, run.parts);
    }
    rank.barrier();
    const RunFolder folder(disk / "run", {.resume = "auto"}, rank);
    logs[r] = folder.rank_file("log", ".jsonl").filename();
    Run run;
    folder.load(run.parts);
    resumed[r] = run.progress.step;
    rank.barrier();
  });
  for (std::size_t r = 0; r < 3; ++r) {
    INFO("rank " << r);
    REQUIRE_THAT(failures[r], Contains("Not a directory"));
    REQUIRE(resumed[r] == 1);
  }
  REQUIRE(logs == std::vector<std::string>{"log.jsonl", "log-rank1.jsonl", "log-rank2.jsonl"});
}
