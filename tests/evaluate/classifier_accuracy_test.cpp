// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/evaluate/classifier_accuracy.hpp"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <vector>

#include "contrapunto/evaluate/evaluate_classifier.hpp"
#include "contrapunto/evaluate/report_classes.hpp"
#include "contrapunto/io/read_file.hpp"
#include "evaluate/fixed_loader.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Counts one logit at a time.
ClassAccuracy by_loops(const at::Tensor& logits, const at::Tensor& labels) {
  const auto classes = logits.size(1);
  ClassAccuracy expected{.samples_of = std::vector<std::int64_t>(static_cast<std::size_t>(classes)),
                         .right_of = std::vector<std::int64_t>(static_cast<std::size_t>(classes))};
  std::int64_t five = 0, first = 0;
  for (std::int64_t i = 0; i < logits.size(0); ++i) {
    const auto label = labels[i].item<std::int64_t>();
    const double own = logits[i][label].item<double>();
    std::int64_t better = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      const double other = logits[i][c].item<double>();
      better += other > own || (other == own && c < label) ? 1 : 0;
    }
    ++expected.samples_of[static_cast<std::size_t>(label)];
    expected.right_of[static_cast<std::size_t>(label)] += better == 0 ? 1 : 0;
    first += better == 0 ? 1 : 0;
    five += better < 5 ? 1 : 0;
  }
  const auto n = static_cast<double>(logits.size(0));
  expected.all = {static_cast<double>(first) / n, static_cast<double>(five) / n, logits.size(0)};
  return expected;
}

void check_equal(const ClassAccuracy& a, const ClassAccuracy& b) {
  CHECK(a.all.top1 == b.all.top1);
  CHECK(a.all.top5 == b.all.top5);
  CHECK(a.all.samples == b.all.samples);
  CHECK(a.samples_of == b.samples_of);
  CHECK(a.right_of == b.right_of);
}

}  // namespace

TEST_CASE("The accuracy of a classifier equals loops, in batches and over ranks",
          "[evaluate][cpu]") {
  torch::manual_seed(1);
  const auto logits = torch::randint(6, {50, 12}).to(torch::kFloat);  // many are equal
  const auto labels = torch::randint(11, {50}, torch::kLong);         // none of class 11
  const auto expected = by_loops(logits, labels);
  REQUIRE(expected.all.top1 > 0.0);
  REQUIRE(expected.all.top5 > expected.all.top1);
  ClassifierAccuracy whole(12);
  whole.add(logits, labels);
  check_equal(whole.result(), expected);
  check_equal(whole.result(), expected);  // result() changes nothing.
  std::vector<ClassAccuracy> results(3);
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    ClassifierAccuracy part(12);
    if (rank.rank() == 0) part.add(logits.slice(0, 0, 20), labels.slice(0, 0, 20));
    if (rank.rank() == 1)
      for (std::int64_t i = 20; i < 50; i += 15)
        part.add(logits.slice(0, i, i + 15), labels.slice(0, i, i + 15));
    results[static_cast<std::size_t>(rank.rank())] = part.result(rank);
  });
  for (const auto& result : results) check_equal(result, expected);
}

TEST_CASE("A classifier is evaluated over one pass of a loader", "[evaluate][cpu]") {
  torch::manual_seed(2);
  const auto images = torch::rand({10, 3, 2, 2});
  const auto labels = torch::randint(4, {10}, torch::kLong);
  const auto classify = [](const at::Tensor& x) { return x.flatten(1).narrow(1, 0, 4); };
  test::FixedLoader loader(images, labels, 4);
  check_equal(evaluate_classifier(loader, classify, 4), by_loops(classify(images), labels));
}

TEST_CASE("A NaN does not look like a right answer", "[evaluate][cpu]") {
  ClassifierAccuracy accuracy(3);
  accuracy.add(torch::full({2, 3}, std::numeric_limits<float>::quiet_NaN()),
               torch::tensor({0, 1}, torch::kLong));
  CHECK(accuracy.result().all.top1 == 0.0);
}

TEST_CASE("Without images the accuracy is 0", "[evaluate][cpu]") {
  const auto result = ClassifierAccuracy(3).result();
  CHECK(result.all.samples == 0);
  CHECK(result.all.top1 == 0.0);
  CHECK(result.worst(5).empty());
  CHECK(result.top1_of(2) == 0.0);
}

TEST_CASE("The worst classes come first, and those without images are left out",
          "[evaluate][cpu]") {
  const ClassAccuracy accuracy{.samples_of = {10, 0, 4, 10, 1}, .right_of = {5, 0, 1, 5, 1}};
  CHECK(accuracy.worst(9) == std::vector<std::int64_t>{2, 0, 3, 4});
  CHECK(accuracy.worst(2) == std::vector<std::int64_t>{2, 0});
  const auto path = std::filesystem::temp_directory_path() / "contrapunto_classes_test.csv";
  const auto line = report_classes(path, accuracy, {"cat", "dog", "a \"b\", c", "fox", "owl"});
  CHECK(line ==
        "lowest accuracy: a \"b\", c 25.0 % of 4, cat 50.0 % of 10, fox 50.0 % of 10, owl "
        "100.0 % of 1");
  CHECK(read_file(path) ==
        "label,name,images,right,top1\n0,\"cat\",10,5,0.5000\n1,\"dog\",0,0,\n"
        "2,\"a \"\"b\"\", c\",4,1,0.2500\n3,\"fox\",10,5,0.5000\n4,\"owl\",1,1,1.0000\n");
  std::filesystem::remove(path);
  CHECK_THROWS_WITH(report_classes(path, accuracy, {"cat"}), Contains("1 names for 5 classes"));
}

TEST_CASE("The accuracy names what it cannot count", "[evaluate][cpu]") {
  ClassifierAccuracy accuracy(3);
  const auto labels = torch::zeros({2}, torch::kLong);
  CHECK_THROWS_WITH(accuracy.add(torch::zeros({2, 4}), labels), Contains("[B, 3]"));
  CHECK_THROWS_WITH(accuracy.add(torch::zeros({3, 3}), labels), Contains("int64 [3]"));
  CHECK_THROWS_WITH(accuracy.add(torch::zeros({2, 3}), labels + 3),
                    Contains("from 3 to 3") && Contains("3 classes"));
  CHECK_THROWS_WITH(ClassifierAccuracy(0), Contains("classes (0)"));
}
