// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/evaluate/evaluate_zero_shot.hpp"
#include "contrapunto/evaluate/prompt_templates.hpp"
#include "contrapunto/evaluate/zero_shot_accuracy.hpp"
#include "contrapunto/evaluate/zero_shot_classifier.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/text/fill_prompt.hpp"
#include "evaluate/fixed_loader.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Tokens are a text's bytes summed in two ways; the "tower" looks both up in a random table.
struct FakeText {
  at::Tensor table = torch::randn({1000, 6});
  std::vector<std::size_t> calls;

  at::Tensor tokenize(const std::vector<std::string>& texts) {
    calls.push_back(texts.size());
    std::vector<std::int64_t> tokens;
    for (const auto& text : texts) {
      std::int64_t sum = 0, weighted = 0;
      for (std::size_t i = 0; i < text.size(); ++i) {
        sum += text[i];
        weighted += text[i] * static_cast<std::int64_t>(i + 1);
      }
      tokens.push_back(sum % 1000);
      tokens.push_back(weighted % 1000);
    }
    return torch::tensor(tokens).view({-1, 2});
  }
  at::Tensor encode(const at::Tensor& tokens) const {
    return 3 * table.index({tokens.select(1, 0)}) + table.index({tokens.select(1, 1)});
  }
};

at::Tensor classifier_of(FakeText& text, const std::vector<std::string>& names,
                         const std::vector<std::string>& templates, std::int64_t batch) {
  return zero_shot_classifier([&](const at::Tensor& tokens) { return text.encode(tokens); },
                              [&](const auto& texts) { return text.tokenize(texts); }, names,
                              templates, batch);
}

const std::vector<std::string> kNames{"cat", "dog", "frog", "ship", "truck"};

}  // namespace

TEST_CASE("A class row is the unit mean of its unit prompts", "[evaluate][cpu]") {
  torch::manual_seed(3);
  FakeText text;
  const auto templates = seven_prompts();
  REQUIRE(templates.size() == 7);
  const auto classifier = classifier_of(text, kNames, templates, 1024);
  REQUIRE(classifier.sizes() == at::IntArrayRef({5, 6}));
  for (std::size_t c = 0; c < kNames.size(); ++c) {
    auto sum = torch::zeros({6}, at::kDouble);
    for (const auto& prompt : templates) {
      const auto row = text.encode(text.tokenize({fill_prompt(prompt, kNames[c])}))[0];
      sum += row.to(at::kDouble) / row.to(at::kDouble).norm();
    }
    const auto own = classifier[static_cast<std::int64_t>(c)];
    REQUIRE(test::close(own, sum / sum.norm(), 4));
  }
}

TEST_CASE("The classifier does not depend on the batch size and respects it", "[evaluate][cpu]") {
  torch::manual_seed(4);
  FakeText text;
  const auto whole = classifier_of(text, kNames, seven_prompts(), 1024);
  REQUIRE(text.calls == std::vector<std::size_t>{35});
  text.calls.clear();
  REQUIRE(test::close(classifier_of(text, kNames, seven_prompts(), 15), whole));
  REQUIRE(text.calls == std::vector<std::size_t>{14, 14, 7});
  text.calls.clear();
  REQUIRE(test::close(classifier_of(text, kNames, seven_prompts(), 1), whole));
  REQUIRE(text.calls == std::vector<std::size_t>(5, 7));
}

TEST_CASE("Prompts are filled in and faulty ones refused", "[evaluate][cpu]") {
  REQUIRE(fill_prompt("a {} and a {}.", "cat") == "a cat and a cat.");
  REQUIRE(fill_prompt("{}", "{}") == "{}");
  REQUIRE(plain_prompt() == std::vector<std::string>{"a photo of a {}."});
  FakeText text;
  REQUIRE_THROWS_WITH(classifier_of(text, kNames, {"a photo"}, 8), Contains("'a photo'"));
  REQUIRE_THROWS_WITH(classifier_of(text, {}, plain_prompt(), 8), Contains("class names"));
  REQUIRE_THROWS_WITH(classifier_of(text, kNames, {}, 8), Contains("templates"));
}

TEST_CASE("Top-1 and top-5 agree with sorting by score and index", "[evaluate][cpu]") {
  torch::manual_seed(5);
  // Small whole numbers: products are exact and full of ties.
  const auto features = torch::randint(-2, 3, {200, 3}).to(at::kFloat);
  const auto classifier = torch::randint(-2, 3, {12, 3}).to(at::kFloat);
  const auto labels = torch::randint(0, 12, {200});
  int top1 = 0, top5 = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<std::pair<double, std::int64_t>> order;
    for (std::int64_t c = 0; c < 12; ++c)
      order.emplace_back(-features[i].dot(classifier[c]).item<double>(), c);
    std::sort(order.begin(), order.end());
    for (std::size_t rank = 0; rank < 5; ++rank)
      if (order[rank].second == labels[i].item<std::int64_t>()) {
        top1 += rank == 0;
        ++top5;
      }
  }
  ZeroShotAccuracy accuracy;
  for (std::int64_t begin = 0; begin < 200; begin += 64)
    accuracy.add(features.slice(0, begin, begin + 64), labels.slice(0, begin, begin + 64),
                 classifier);
  const auto result = accuracy.result();
  REQUIRE(result.samples == 200);
  REQUIRE(result.top1 == top1 / 200.0);
  REQUIRE(result.top5 == top5 / 200.0);
}

TEST_CASE("Autocast and narrow features do not round the scores", "[evaluate][cpu]") {
  torch::manual_seed(6);
  // Scores near 36 differ by less than bf16's step of 1 / 4, but by more than float32 rounds.
  const auto near_six = [](std::int64_t rows) {
    return torch::cat({torch::full({rows, 1}, 6.0), torch::randn({rows, 7}) * 0.3}, 1)
        .to(at::kBFloat16);
  };
  const auto classifier = near_six(12);
  auto features = near_six(400);
  const auto gaps = [&] {
    const auto best =
        std::get<0>(features.to(at::kDouble).mm(classifier.to(at::kDouble).t()).topk(2, 1));
    return best.select(1, 0) - best.select(1, 1);
  };
  features = features.index({gaps() > 1e-3});
  const auto labels = features.to(at::kDouble).mm(classifier.to(at::kDouble).t()).argmax(1);
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  for (const auto kind : {at::kBFloat16, at::kFloat}) {
    ZeroShotAccuracy accuracy;
    accuracy.add(features.to(kind), labels, classifier.to(kind));
    CHECK(accuracy.result().top1 == 1);
  }
}

TEST_CASE("With fewer than five classes top-5 is always right", "[evaluate][cpu]") {
  ZeroShotAccuracy accuracy;
  accuracy.add(torch::eye(3), torch::tensor({0, 1, 0}, at::kLong), torch::eye(3));
  REQUIRE(accuracy.result().top1 == Approx(2.0 / 3));
  REQUIRE(accuracy.result().top5 == 1);
  REQUIRE(ZeroShotAccuracy().result().samples == 0);
}

TEST_CASE("Ranks together count the same hits as one process", "[evaluate][cpu]") {
  torch::manual_seed(9);
  const auto features = torch::randn({50, 4});
  const auto classifier = torch::randn({12, 4});
  const auto labels = torch::randint(0, 12, {50});
  ZeroShotAccuracy whole;
  whole.add(features, labels, classifier);
  const auto expected = whole.result();
  for (const auto& ends : std::vector<std::vector<std::int64_t>>{{25, 50}, {3, 3, 40, 50}}) {
    std::vector<ClassificationAccuracy> results(ends.size()), again(ends.size());
    test::run_thread_ranks(
        static_cast<std::int64_t>(ends.size()), [&](const test::ThreadRank& rank) {
          const auto r = static_cast<std::size_t>(rank.rank());
          const auto begin = r == 0 ? 0 : ends[r - 1];
          ZeroShotAccuracy accuracy;
          for (auto i = begin; i < ends[r]; i += 8) {
            const auto end = std::min(i + 8, ends[r]);
            accuracy.add(features.slice(0, i, end), labels.slice(0, i, end), classifier);
          }
          results[r] = accuracy.result(rank);
          again[r] = accuracy.result(rank);  // asking changes nothing
        });
    for (const auto& all : {results, again})
      for (const auto& result : all) {
        CHECK(result.samples == 50);
        CHECK(result.top1 == expected.top1);
        CHECK(result.top5 == expected.top5);
      }
  }
  ClassificationAccuracy none{1, 1, 1};
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto result = ZeroShotAccuracy().result(rank);
    if (rank.rank() == 1) none = result;
  });
  CHECK((none.samples == 0 && none.top1 == 0));
}

TEST_CASE("Features that are NaN are never right", "[evaluate][cpu]") {
  ZeroShotAccuracy accuracy;
  accuracy.add(torch::full({4, 3}, std::numeric_limits<float>::quiet_NaN()),
               torch::zeros({4}, at::kLong), torch::eye(3).repeat({3, 1}));
  REQUIRE(accuracy.result().top1 == 0);
  REQUIRE(accuracy.result().top5 == 0);
}

TEST_CASE("Features, labels and classifier that do not fit are refused", "[evaluate][cpu]") {
  ZeroShotAccuracy accuracy;
  REQUIRE_THROWS_WITH(
      accuracy.add(torch::ones({2, 3}), torch::zeros({2}, at::kLong), torch::ones({4, 5})),
      Contains("[2, 3]") && Contains("[4, 5]"));
  REQUIRE_THROWS_WITH(
      accuracy.add(torch::ones({2, 3}), torch::zeros({3}, at::kLong), torch::ones({4, 3})),
      Contains("labels"));
  REQUIRE_THROWS_WITH(accuracy.add(torch::ones({2, 3}), torch::zeros({2}), torch::ones({4, 3})),
                      Contains("int64"));
}

TEST_CASE("The accuracy over a loader is that of all its samples, on one rank and on two",
          "[evaluate][cpu]") {
  torch::manual_seed(12);
  const auto images = torch::randn({24, 6});
  const auto labels = torch::randint(0, 5, {24});
  const auto classifier = torch::randn({5, 6});
  const auto encode = [](const at::Tensor& batch) { return batch.sin(); };
  const auto right = encode(images).mm(classifier.t()).argmax(1).eq(labels).sum().item<double>();
  test::FixedLoader loader(images, labels, 8);
  const auto result = evaluate_zero_shot(loader, encode, classifier);
  CHECK(result.samples == 24);
  CHECK(result.top1 == right / 24);
  CHECK(result.top5 == 1);
  std::vector<ClassificationAccuracy> of_ranks(2);
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    test::FixedLoader part(images.slice(0, r == 0 ? 0 : 16, r == 0 ? 16 : 24),
                           labels.slice(0, r == 0 ? 0 : 16, r == 0 ? 16 : 24), 8);
    of_ranks[r] = evaluate_zero_shot(part, encode, classifier, rank);
  });
  for (const auto& one : of_ranks) {
    CHECK(one.top1 == result.top1);
    CHECK(one.samples == 24);
  }
}

TEST_CASE("Labels without a class are refused by name", "[evaluate][cpu]") {
  ZeroShotAccuracy accuracy;
  const auto add = [&](std::int64_t label) {
    accuracy.add(torch::ones({1, 4}), torch::full({1}, label, torch::kLong), torch::ones({3, 4}));
  };
  CHECK_THROWS_WITH(add(3), Contains("the classifier has 3 classes"));
  CHECK_THROWS_WITH(add(-1), Contains("-1 is a sample without a label"));
  add(2);
  CHECK(accuracy.result().samples == 1);
}
