// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/with_students.hpp"

#include <string>
#include <vector>

#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/students_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Two different students, and a teacher.
struct Models {
  DualEncoder first = test::small_model(0.0, 10.0), second = test::small_model(0.0, 20.0),
              teacher = test::small_model(0.0, 30.0);
  Models() {
    {
      const torch::NoGradGuard no_grad;
      for (auto& weight : second->parameters()) weight.mul_(1.1);
      for (auto& weight : teacher->parameters()) weight.mul_(0.9);
    }
    freeze_teacher(*teacher);
  }
};

StepModel<> step_of(const DualEncoder& model) {
  return pair_step_model(model, torch::kCPU, {.trim_y = true});
}

auto loss_of(double alpha, const Ranks& ranks = {}) {
  return LossSum(WeightedLoss{"contrastive", 1 - alpha, TiledInfoNce({}, ranks)},
                 WeightedLoss{"affinity", alpha, AffinityLoss({}, ranks)});
}

bool same(const test::Gradients& a, const test::Gradients& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) equal = a[i].second.equal(b[i].second);
  return equal;
}

}  // namespace

TEST_CASE("Each student gets the bits of the gradient that it gets alone", "[step][cpu]") {
  const auto batch = test::small_batch(11);
  for (const std::int64_t chunk : {kWholeBatch, std::int64_t{4}}) {
    for (const std::int64_t ranks : {1, 2}) {
      std::vector<Models> alone(static_cast<std::size_t>(ranks)), together(alone.size());
      std::vector<std::vector<test::Gradients>> expected(alone.size()), results(alone.size());
      std::vector<std::vector<double>> losses(alone.size());
      test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
        const auto r = static_cast<std::size_t>(rank.rank());
        const auto part = ranks == 1 ? batch : test::part_of(batch, r == 0 ? 0 : 4, r == 0 ? 4 : 7);
        const StepContext context{.ranks = rank};
        const auto single = [&](const DualEncoder& student, double alpha) {
          GradCache step(with_teachers(step_of(student), {{.model = step_of(alone[r].teacher)}}),
                         loss_of(alpha, rank), {.chunk_size = chunk}, context);
          losses[r].push_back(step(part).total.template item<double>());
          auto gradients = DualEncoder(student);
          expected[r].push_back(test::take_gradients(*gradients));
        };
        single(alone[r].first, 0.5);
        single(alone[r].second, 0.25);
        auto& models = together[r];
        GradCache step(with_students({step_of(models.first), step_of(models.second)},
                                     {{.model = step_of(models.teacher)}}),
                       StudentsLoss(WeightedLoss{"small", 1.0, loss_of(0.5, rank)},
                                    WeightedLoss{"tiny", 1.0, loss_of(0.25, rank)}),
                       {.chunk_size = chunk}, context);
        const auto terms = step(part);
        losses[r].push_back(terms.total.template item<double>());
        losses[r].push_back(terms.parts.front().second.template item<double>());
        results[r] = {test::take_gradients(*models.first), test::take_gradients(*models.second)};
      });
      INFO("chunks of " << chunk << ", " << ranks << " ranks");
      for (std::size_t r = 0; r < alone.size(); ++r) {
        CHECK(losses[r][2] == Approx(losses[r][0] + losses[r][1]).epsilon(1e-6));
        CHECK(losses[r][3] == losses[r][0]);
        CHECK(same(results[r][0], expected[r][0]));
        CHECK(same(results[r][1], expected[r][1]));
        CHECK_FALSE(same(results[r][0], results[r][1]));
      }
    }
  }
}

TEST_CASE("The teacher runs once for all students", "[step][cpu]") {
  const auto batch = test::small_batch(12);
  Models models;
  auto teacher = step_of(models.teacher);
  int calls = 0;
  std::int64_t samples = 0;
  for (auto& encoder : teacher.encoders)
    encoder.forward = [&, forward = encoder.forward](const at::Tensor& slice) {
      ++calls;
      samples += slice.size(0);
      return forward(slice);
    };
  GradCache step(
      with_students({step_of(models.first), step_of(models.second)}, {{.model = teacher}}),
      StudentsLoss(WeightedLoss{"small", 1.0, loss_of(0.5)},
                   WeightedLoss{"tiny", 1.0, loss_of(0.5)}),
      {.chunk_size = 4});
  const auto terms = step(batch);
  CHECK(calls == 2 * 3);  // Two towers in three chunks each.
  CHECK(samples == 2 * 12);
  std::vector<std::string> names;
  for (const auto& [name, _] : terms.parts) names.push_back(name);
  CHECK(names == std::vector<std::string>{
                     "small", "small/contrastive", "small/affinity", "small/affinity/cross_entropy",
                     "small/affinity/target_entropy", "tiny", "tiny/contrastive", "tiny/affinity",
                     "tiny/affinity/cross_entropy", "tiny/affinity/target_entropy"});
}

TEST_CASE("Students may share weights, have weights in the sum, and have no teacher",
          "[step][cpu]") {
  const auto batch = test::small_batch(9);
  Models models;
  // Twice the same student is one student with the sum of the weights.
  const auto joined = with_students({step_of(models.first), step_of(models.first)}, {});
  CHECK(joined.parameters.size() == models.first->parameters().size());
  FullBatch(joined, StudentsLoss(WeightedLoss{"one", 0.25, TiledInfoNce()},
                                 WeightedLoss{"two", 0.5, TiledInfoNce()}))(batch);
  const auto result = test::take_gradients(*models.first);
  FullBatch(step_of(models.first), TiledInfoNce())(batch);
  auto expected = test::take_gradients(*models.first);
  for (auto& [_, gradient] : expected) gradient = 0.75 * gradient;
  CHECK(test::gradient_error(result, expected) < 1e-5);
}

TEST_CASE("Students without their losses are refused", "[step][cpu]") {
  Models models;
  CHECK_THROWS_WITH(with_students({}, {}), Contains("no student"));
  const StudentsLoss loss(WeightedLoss{"one", 1.0, TiledInfoNce()});
  FullBatch step(with_students({step_of(models.first), step_of(models.second)}, {}), loss);
  CHECK_THROWS_WITH(step(test::small_batch(4)), Contains("1 losses for 2 students"));
  CHECK_THROWS_WITH(StudentsLoss(WeightedLoss{"one", 0.0, TiledInfoNce()}), Contains("'one' is 0"));
}
