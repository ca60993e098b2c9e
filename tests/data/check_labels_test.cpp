// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/check_labels.hpp"

#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/folder_source.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// A shard of images with these cls members; an empty one is left out.
std::string shard(const test::TemporaryFolder& folder, const std::vector<std::string>& labels) {
  test::Files files;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string key = "k" + std::to_string(i);
    files.emplace_back(key + ".jpg", "not decoded");
    files.emplace_back(key + ".txt", "caption");
    if (!labels[i].empty()) files.emplace_back(key + ".cls", labels[i]);
  }
  return folder.write("a.tar", test::tar_of(files));
}

}  // namespace

TEST_CASE("Labels are counted by class, and classes without a sample are listed", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const LabelCounts counts = check_labels(ShardSource(shard(folder, {"0", "2", "2\n"})), 4);
  CHECK(counts.samples_of == std::vector<std::int64_t>{1, 0, 2, 0});
  CHECK(counts.unseen() == std::vector<std::int64_t>{1, 3});
  CHECK(check_labels(SyntheticShapes({.samples = 60}), 30).unseen().empty());
  const LabelCounts open = check_labels(ShardSource(shard(folder, {"0", "3", "3"})));
  CHECK(open.samples_of == std::vector<std::int64_t>{1, 0, 0, 2});
}

TEST_CASE("Labels that an evaluation cannot use raise with sample, value and remedy",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto check = [&](const std::vector<std::string>& labels) {
    (void)check_labels(ShardSource(shard(folder, labels)), 2);
  };
  CHECK_THROWS_WITH(check({"0", "2"}), test::contains("sample 'k1' of '" + (folder / "a.tar") +
                                                      "' is 2, but there are 2 class names"));
  CHECK_THROWS_WITH(check({"0", "-1"}), test::contains("is -1"));
  for (const char* label : {"-1", "99999999999"})
    CHECK_THROWS_WITH(check_labels(ShardSource(shard(folder, {"0", label}))),
                      test::contains("sample 'k1'") && test::contains("is " + std::string(label)));
  CHECK_THROWS_WITH(check({"0", "", "1", ""}),
                    test::contains("2 of 4 samples have no label; the first is sample 'k1'"));
  CHECK_THROWS_WITH(check({"", ""}), test::contains("none of the 2 samples has a label"));
  CHECK_THROWS_WITH(check({"0", "cat"}),
                    test::contains("a.tar: k1: the cls member is not a whole number"));
  CHECK_THROWS_WITH(check_labels(ShardSource(shard(folder, {"0"})), 0),
                    test::contains("no class names"));

  const auto list = folder.write("a.csv", "filepath,title,class\na.jpg,x,0\nb.jpg,x,\n");
  CHECK_THROWS_WITH(check_labels(CsvSource(list, {.label_column = "class"}), 2),
                    test::contains("1 of 2 samples have no label") &&
                        test::contains("CsvSourceOptions::label_column"));
  CHECK_THROWS_WITH(check_labels(CsvSource(list), 2), test::contains("none of the 2"));
  folder.write("classes/a/1.jpg", "x");
  folder.write("classes/b/1.jpg", "x");
  CHECK_THROWS_WITH(check_labels(FolderSource(folder / "classes"), 1),
                    test::contains("sample 'b/1.jpg'") && test::contains("is 1, but"));
}
