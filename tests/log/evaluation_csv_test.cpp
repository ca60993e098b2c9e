// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/evaluation_csv.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::test::TemporaryFolder;

TEST_CASE("A table of evaluations is read as it was written, to the last bit", "[log][cpu]") {
  const TemporaryFolder folder;
  EvaluationSeries series;
  series.records = {
      {.step = 23, .values = {{"samples", 5888}, {"epoch", 1}, {"top1", 0.1 + 0.2}}},
      {.step = 46, .values = {{"samples", 11776}, {"epoch", 1.0 / 3}, {"recall@1", 1e-300}}},
      {.step = 9'007'199'254'740'991,
       .values = {{"samples", 2.56e15},
                  {"epoch", 3},
                  {"top1", std::numeric_limits<double>::quiet_NaN()}}}};
  write_evaluations(folder / "evaluations.csv", series);
  CHECK(read_file(folder / "evaluations.csv")
            .rfind("epoch,samples,step,top1,recall@1\n1,5888,23,", 0) == 0);
  for (const auto& path : {folder / "evaluations.csv", folder.path(), folder / ""}) {
    const auto read = read_evaluations(path);
    REQUIRE(read.records.size() == 3);
    CHECK(read.records[0].step == 23);
    CHECK(read.records[0].find("top1") == 0.1 + 0.2);
    CHECK_FALSE(read.records[0].find("recall@1"));
    CHECK(read.records[1].find("epoch") == 1.0 / 3);
    CHECK(read.records[1].find("recall@1") == 1e-300);
    CHECK(read.records[2].step == 9'007'199'254'740'991);
    CHECK(std::isnan(*read.records[2].find("top1")));
    CHECK(read.value_names() == std::vector<std::string>{"top1", "recall@1"});
  }
  CHECK(read_evaluations(folder / "evaluations.csv").name == "evaluations");
  CHECK(read_evaluations(folder / "").name == folder.path().filename().string());
}

TEST_CASE("A published series needs epochs and values only", "[log][cpu]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "paper.csv",
                        "# a comment, with a comma\r\nepoch, top1\r\n\r\n1, 0.154\r\n25,0.635");
  const auto series = read_evaluations(folder / "paper.csv");
  CHECK(series.name == "paper");
  REQUIRE(series.records.size() == 2);
  CHECK(series.records[1].step == 0);
  CHECK(series.records[1].find("epoch") == 25.0);
  CHECK(series.records[1].find("top1") == 0.635);
}

TEST_CASE("A table that is no table of evaluations raises with file and line", "[log][cpu]") {
  const TemporaryFolder folder;
  const auto path = folder / "bad.csv";
  const auto refused = [&](const std::string& text, const std::string& why) {
    write_file_atomically(path, text);
    CHECK_THROWS_WITH(read_evaluations(path), Contains("bad.csv") && Contains(why));
  };
  refused("", "no evaluation");
  refused("epoch,top1\n", "line 1: the table has no evaluation");
  refused("step,top1\n1,0.5\n", "line 1: there is no column 'epoch'");
  refused("epoch,top1,top1\n1,0.5,0.6\n", "'top1' has no name, or a name that comes twice");
  refused("epoch,\n1,0.5\n", "has no name");
  refused("# x\nepoch,top1\n1,0.5\n2,0.6,0.7\n", "line 4: 3 fields");
  refused("epoch,top1\n1,0.5\n2\n", "line 3: 1 fields");
  refused("epoch,top1\n1,36.0 %\n", "line 2: '36.0 %' in the column 'top1' is no number");
  refused("epoch,top1\n,0.5\n", "'' in the column 'epoch' is no number");
  CHECK_THROWS_WITH(read_evaluations(folder / "none.csv"), Contains("none.csv"));
  CHECK_THROWS_WITH(read_evaluations(folder.path()), Contains("evaluations.csv"));
  EvaluationSeries series;
  series.records = {{1, {{"epoch", 1}, {"a,b", 2}}}};
  CHECK_THROWS_WITH(write_evaluations(path, series), Contains("'a,b'"));
}
