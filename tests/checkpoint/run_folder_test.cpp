// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/checkpoint/run_folder.hpp"

#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "contrapunto/core/run_progress.hpp"
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

}  // namespace

TEST_CASE("What is saved by the list of parts is restored by it", "[checkpoint][cpu]") {
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

TEST_CASE("A new run is not mixed with an earlier one of its folder", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder folder(disk / "run");
    Run run;
    run.advance();
    folder.save(run.progress.step, run.parts);
  }
  REQUIRE_THROWS_WITH(RunFolder(disk / "run"),
                      Contains("holds 1 checkpoint of an earlier run") && Contains("step 1"));
  REQUIRE(RunFolder(disk / "run", {.resume = "auto"}).resumes());
  REQUIRE_FALSE(RunFolder(disk / "other", {.resume = "auto"}).resumes());
  REQUIRE_THROWS_WITH(RunFolder(disk / "empty", {.resume = "latest"}),
                      Contains("no complete checkpoint"));
  REQUIRE_THROWS_WITH(RunFolder(disk / "empty", {.resume = (disk / "none").string()}),
                      Contains("there is no checkpoint") && Contains("none"));
}

TEST_CASE("Two runs cannot share a folder, and the lock goes with the run", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder first(disk / "run");
    REQUIRE_THROWS_WITH(RunFolder(disk / "run"),
                        Contains("a run that is still going on") && Contains("process "));
  }
  REQUIRE_NOTHROW(RunFolder(disk / "run"));
}

TEST_CASE("Looking at a folder writes nothing", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const RunFolder folder(disk / "run", {.look_only = true});
  REQUIRE_FALSE(std::filesystem::exists(disk / "run"));
}

TEST_CASE("A run goes on from an older checkpoint and turns away from later ones",
          "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder folder(disk / "run");
    Run run;
    for (int i = 0; i < 3; ++i) {
      run.advance();
      folder.save(run.progress.step, run.parts);
    }
  }
  const RunFolder folder(disk / "run", {.resume = (disk / "run/step-000000002").string()});
  Run run;
  folder.load(run.parts);
  REQUIRE(run.progress.step == 2);
  REQUIRE(folder.checkpoints().latest()->step == 2);
}

TEST_CASE("A damaged newest checkpoint is passed over with a note", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder folder(disk / "run");
    Run run;
    for (int i = 0; i < 2; ++i) {
      run.advance();
      folder.save(run.progress.step, run.parts);
    }
  }
  std::filesystem::resize_file(disk / "run/step-000000002/state.safetensors", 10);
  const RunFolder folder(disk / "run", {.resume = "latest"});
  REQUIRE(folder.resume_from().filename() == "step-000000001");
  REQUIRE(folder.notes().size() == 1);
  REQUIRE_THAT(folder.notes().front(),
               Contains("skipped a damaged checkpoint") && Contains("step-000000002"));
}

TEST_CASE("A checkpoint of other parts is refused before anything changes", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  {
    const RunFolder folder(disk / "run");
    Run run;
    run.advance();
    folder.save(run.progress.step, run.parts);
  }
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

TEST_CASE("Rank 0 writes for all, and all learn what it could not write", "[checkpoint][cpu]") {
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
