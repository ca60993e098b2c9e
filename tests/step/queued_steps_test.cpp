// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A queue of negatives under the step strategies.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "contrapunto/loss/negative_queue.hpp"
#include "contrapunto/loss/queued_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A step with any chunks appends the whole batch to the queue once", "[step][cpu]") {
  const auto batch = test::small_batch(10);
  auto model = test::small_model();
  const auto parts = pair_step_model(model, torch::kCPU);
  at::Tensor expected;
  {
    const torch::NoGradGuard no_grad;
    expected = parts.encoders[1].forward(batch.at("text")).tensors.front();
  }
  struct Result {
    std::vector<double> losses = {};
    test::Gradients gradients = {};
  };
  const auto train = [&](const auto& make_step) {
    NegativeQueue queue({.pairs = 25});
    auto step = make_step(QueuedLoss(TiledInfoNce(), queue));
    Result result;
    for (std::int64_t i = 1; i <= 3; ++i) {
      test::take_gradients(*model);
      result.losses.push_back(step(batch).total.template item<double>());
      CHECK(queue.size() == 10 * (i - 1));
      queue.push();
      CHECK(queue.size() == std::min<std::int64_t>(25, 10 * i));
    }
    CHECK(test::relative_error(queue.save_state().tensor("y").narrow(0, 15, 10), expected) < 1e-5);
    result.gradients = test::take_gradients(*model);
    return result;
  };
  const auto whole = train([&](const auto& loss) { return FullBatch(parts, loss); });
  CHECK(whole.losses[1] > whole.losses[0]);
  const auto check = [&](const Result& result) {
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(result.losses[i] == Approx(whole.losses[i]).epsilon(1e-5));
    CHECK(test::gradient_error(result.gradients, whole.gradients) < 1e-4);
  };
  check(train([&](const auto& loss) { return Accumulator(parts, loss, {.micro_batch = 3}); }));
  for (const double keep : {0.0, 1e12})
    check(train([&](const auto& loss) {
      return GradCache(parts, loss, {.chunk_size = 4, .keep_bytes = keep});
    }));
}
