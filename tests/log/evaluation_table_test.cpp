// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/evaluation_table.hpp"

#include <string>
#include <vector>

#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

namespace {

StepRecord evaluation(std::int64_t epoch, double top1) {
  return {100 * epoch,
          {{"samples", 25'600.0 * static_cast<double>(epoch)},
           {"epoch", static_cast<double>(epoch)},
           {"top1", top1},
           {"rank", 2 * top1}}};
}

}  // namespace

TEST_CASE("Evaluations are printed as a series over epochs beside a published one", "[log][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "paper.csv", "epoch,top1\n1,0.154\n25,0.635\n");
  EvaluationTable table(folder / "evaluations.csv", 0, {(folder / "paper.csv").string()});
  CHECK(table.text().empty());
  notify_evaluation(evaluation(1, 0.2), table);
  notify_evaluation(evaluation(2, 0.36), table);
  notify_evaluation({250, {{"samples", 64'000}, {"epoch", 2.5}, {"top1", 0.41}}}, table);
  CHECK(table.text() ==
        "top1 in % by epoch, this run: 1: 20.0, 2: 36.0, 2.5: 41.0\n"
        "top1 in % by epoch, paper: 1: 15.4, 25: 63.5\n"
        "rank by epoch, this run: 1: 0.4, 2: 0.72\n");
  CHECK(read_file(folder / "evaluations.csv") ==
        "epoch,samples,step,top1,rank\n1,25600,100,0.2,0.4\n2,51200,200,0.36,0.72\n"
        "2.5,64000,250,0.41,\n");
}

TEST_CASE("A resumed table has the evaluations up to the resumed step", "[log][cpu]") {
  const TemporaryFolder folder;
  const auto path = folder / "evaluations.csv";
  std::string whole;
  {
    EvaluationTable table(path);
    for (const std::int64_t epoch : {1, 2, 3})
      table.on_evaluation(evaluation(epoch, 0.1 * static_cast<double>(epoch)));
    whole = read_file(path);
  }
  {
    EvaluationTable table(path, 200);
    REQUIRE(table.series().front().records.size() == 2);
    CHECK(read_file(path) == whole.substr(0, whole.rfind("3,")));
    table.on_evaluation(evaluation(3, 0.3 * 1.0));
  }
  CHECK(read_file(path) == whole.substr(0, whole.rfind("3,")) + "3,76800,300,0.3,0.6\n");
  // Earlier than the first evaluation, and a new run.
  CHECK(EvaluationTable(path, 50).series().front().records.empty());
  CHECK_FALSE(std::filesystem::exists(path));
  EvaluationTable(path, 50).on_evaluation(evaluation(1, 0.5));
  CHECK(EvaluationTable(path).series().front().records.empty());
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("Evaluations after the same step share a row", "[log][cpu]") {
  const TemporaryFolder folder;
  EvaluationTable table(folder / "evaluations.csv");
  table.on_evaluation(evaluation(1, 0.2));
  table.on_evaluation({100, {{"samples", 25'600}, {"epoch", 1}, {"top1", 0.3}, {"recall@1", 0.7}}});
  const auto& records = table.series().front().records;
  REQUIRE(records.size() == 1);
  CHECK(records[0].find("top1") == 0.3);
  CHECK(records[0].find("rank") == 0.4);
  CHECK(records[0].find("recall@1") == 0.7);
  CHECK(read_evaluations(folder / "evaluations.csv").records.size() == 1);
}

TEST_CASE("A table that cannot hold or compare evaluations raises", "[log][cpu]") {
  const TemporaryFolder folder;
  EvaluationTable table(folder / "evaluations.csv");
  CHECK_THROWS_WITH(table.on_evaluation({7, {{"top1", 0.5}}}),
                    Contains("step 7") && Contains("RunLength::record()"));
  CHECK_THROWS_WITH(
      EvaluationTable(folder / "evaluations.csv", 0, {(folder / "none.csv").string()}),
      Contains("none.csv"));
  write_file_atomically(folder / "evaluations.csv", "epoch,step\n1,x\n");
  CHECK_THROWS_WITH(EvaluationTable(folder / "evaluations.csv", 10), Contains("line 2"));
}
