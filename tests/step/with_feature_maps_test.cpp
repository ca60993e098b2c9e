// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/with_feature_maps.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/checkpoint/checkpoint_parts.hpp"
#include "contrapunto/loss/feature_distillation.hpp"
#include "contrapunto/loss/interactive_loss.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// A frozen teacher whose features are cut to 5 numbers.
StepModel<> narrow_teacher() {
  auto model = test::small_model(0.0, 30.0);
  {
    const torch::NoGradGuard no_grad;
    for (auto& weight : model->parameters()) weight.mul_(0.9);
  }
  freeze_teacher(*model);
  auto step = pair_step_model(model, torch::kCPU);
  step.head = [head = step.head](const std::vector<Features>& features, const Batch& batch) {
    auto e = head(features, batch);
    e.x = unit_rows(e.x.narrow(1, 0, 5));
    e.y = unit_rows(e.y.narrow(1, 0, 5));
    return e;
  };
  return step;
}

FeatureMaps maps_to(const std::vector<std::int64_t>& widths) {
  torch::manual_seed(21);
  return FeatureMaps(8, widths);
}

auto loss_of(const Ranks& ranks = {}) {
  return LossSum(WeightedLoss{"features", 10.0, FeatureDistillation(ranks)},
                 WeightedLoss{"interactive", 1.0, InteractiveLoss({}, ranks)});
}

StepModel<DistilledEmbeddings> step_of(const DualEncoder& student, const FeatureMaps& maps) {
  return with_feature_maps(
      with_teachers(pair_step_model(student, torch::kCPU), {{.model = narrow_teacher()}}), maps);
}

}  // namespace

TEST_CASE("Feature maps give unit rows in the width of each teacher", "[step][cpu]") {
  auto maps = maps_to({5, 8, 11});
  maps->to(torch::kDouble);
  const auto x = unit_rows(torch::randn({3, 8}, torch::kDouble)), y = 2.0 * x.flip(0);
  const auto mapped = maps->forward({x, y, torch::tensor(7.0)});
  REQUIRE(mapped.size() == 3);
  CHECK(mapped[1].x.is_same(x));  // The same width needs no map.
  CHECK(maps->named_parameters().keys() == std::vector<std::string>{"x_0", "y_0", "x_2", "y_2"});
  for (const std::size_t k : {0, 2})
    for (const bool rows_of_x : {true, false}) {
      const auto& result = rows_of_x ? mapped[k].x : mapped[k].y;
      const auto weight = maps->named_parameters()[(rows_of_x ? "x_" : "y_") + std::to_string(k)];
      const auto& input = rows_of_x ? x : y;
      REQUIRE(result.sizes() == at::IntArrayRef({3, weight.size(0)}));
      for (std::int64_t i = 0; i < 3; ++i) {
        std::vector<double> row;
        double norm = 0.0;
        for (std::int64_t o = 0; o < weight.size(0); ++o) {
          double sum = 0.0;
          for (std::int64_t d = 0; d < 8; ++d)
            sum += weight[o][d].item<double>() * input[i][d].item<double>();
          row.push_back(sum);
          norm += sum * sum;
        }
        for (std::int64_t o = 0; o < weight.size(0); ++o)
          CHECK(result[i][o].item<double>() ==
                Approx(row[static_cast<std::size_t>(o)] / std::sqrt(norm)).margin(1e-13));
      }
    }
  CHECK(mapped[0].scale.item<double>() == 7.0);
  CHECK_THROWS_WITH(maps->forward({x.narrow(1, 0, 4), y.narrow(1, 0, 4)}),
                    Contains("width 4") && Contains("made for 8"));
  CHECK_THROWS_WITH(FeatureMaps(8, std::vector<std::int64_t>{0}), Contains("8 and 0"));
}

TEST_CASE("The maps are trained exactly with chunks and over ranks", "[step][cpu]") {
  const auto batch = test::small_batch(11);
  auto student = test::small_model();
  auto maps = maps_to({5});
  FullBatch(step_of(student, maps), loss_of())(batch);
  const auto expected = test::take_gradients(*student);
  const auto expected_maps = test::take_gradients(*maps);
  CHECK(expected_maps.size() == 2);
  for (const auto& [_, gradient] : expected_maps) CHECK(gradient.abs().max().item<double>() > 1e-4);
  for (const std::int64_t ranks : {1, 2, 4}) {
    std::vector<DualEncoder> students;
    std::vector<FeatureMaps> all_maps;
    std::vector<StepModel<DistilledEmbeddings>> steps;
    for (std::int64_t r = 0; r < ranks; ++r) {
      students.push_back(test::small_model());
      all_maps.push_back(maps_to({5}));
      steps.push_back(step_of(students.back(), all_maps.back()));
    }
    std::vector<test::Gradients> gradients(students.size()), map_gradients(students.size());
    test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      const auto begin = [&](std::int64_t i) { return i + (11 - ranks) * i * i / (ranks * ranks); };
      const auto first = begin(rank.rank()), count = begin(rank.rank() + 1) - first;
      GradCache step(steps[r], loss_of(rank), {.chunk_size = 2}, {.ranks = rank});
      step(test::part_of(batch, first, count));
      gradients[r] = test::take_gradients(*students[r]);
      map_gradients[r] = test::take_gradients(*all_maps[r]);
    });
    for (std::size_t r = 0; r < students.size(); ++r) {
      INFO(ranks << " ranks, rank " << r);
      CHECK(test::gradient_error(gradients[r], expected, 0.1) < 1e-5);
      CHECK(test::gradient_error(map_gradients[r], expected_maps, 0.1) < 1e-5);
    }
  }
}

TEST_CASE("Maps are saved, restored and optimized with the student", "[step][cpu]") {
  const auto batch = test::small_batch(8);
  struct Run {
    DualEncoder student = test::small_model();
    FeatureMaps maps = maps_to({5});
    AdamW optimizer{[&] {
      auto groups = decay_groups(*student, 0.1);
      for (auto& group : decay_groups(*maps, 0.1)) groups.push_back(std::move(group));
      return groups;
    }()};
    CheckpointParts parts;
    FullBatch<decltype(loss_of()), DistilledEmbeddings> step{step_of(student, maps), loss_of()};
    Run() { parts.add("model", *student).add("maps", *maps).add("optimizer", optimizer); }
    double train(const Batch& on) {
      optimizer.zero_grad();
      const double loss = step(on).total.item<double>();
      optimizer.step(1e-2);
      return loss;
    }
  };
  Run whole, resumed;
  const double first = whole.train(batch);
  const auto states = whole.parts.snapshot();
  std::vector<double> losses;
  for (int i = 0; i < 5; ++i) losses.push_back(whole.train(batch));
  CHECK(losses.back() < first);
  resumed.parts.load(states);
  for (const double loss : losses) CHECK(resumed.train(batch) == loss);
}

TEST_CASE("Features of different widths without maps are refused", "[step][cpu]") {
  const auto student = test::small_model();
  FullBatch step(
      with_teachers(pair_step_model(student, torch::kCPU), {{.model = narrow_teacher()}}),
      FeatureDistillation());
  CHECK_THROWS_WITH(step(test::small_batch(4)), Contains("with_feature_maps()"));
  FullBatch few(
      with_feature_maps(with_teachers(pair_step_model(student, torch::kCPU),
                                      {{.model = narrow_teacher()}, {.model = narrow_teacher()}}),
                        maps_to({5})),
      FeatureDistillation());
  CHECK_THROWS_WITH(few(test::small_batch(4)), Contains("1 maps") && Contains("teacher 1"));
}
