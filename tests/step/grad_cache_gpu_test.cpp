// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

StepModel<> step_on(const DualEncoder& model, torch::Device device) {
  return pair_step_model(model, device);
}

/// Without dropout, chunks give the gradients of the batch. With dropout, they give those of the
/// same function with all graphs kept, which draws the same random numbers. A repeated step gives
/// the same bits.
template <class Loss>
void check_device(torch::Device device, const Loss& loss, bool bias) {
  const StepContext context{.device = device};
  const auto batch = test::small_batch(61, torch::kDouble);
  for (const double dropout : {0.0, 0.4}) {
    auto model = test::small_model(dropout, 14.3, bias);
    model->to(device, torch::kDouble);
    for (const auto chunk : {7, 61})
      for (const double keep : {0.0, 1e12}) {
        INFO("dropout " << dropout << ", chunks of " << chunk << ", kept " << keep);
        const auto expected = [&] {
          if (dropout > 0.0)
            return test::all_graphs_kept(step_on(model, device), loss, batch, chunk, *model);
          FullBatch direct(step_on(model, device), loss, context);
          return test::gradients_of(direct, batch, *model);
        }();
        GradCache cached(step_on(model, device), loss, {.chunk_size = chunk, .keep_bytes = keep},
                         context);
        for (int repeat = 0; repeat < 2; ++repeat)  // kept chunks begin with the second step
          CHECK(test::gradient_error(test::gradients_of(cached, batch, *model), expected, 1e-2) <
                1e-9);
      }
  }
  // Other random numbers give other gradients, so the checks above can fail.
  auto model = test::small_model(0.4, 14.3, bias);
  model->to(device, torch::kDouble);
  GradCache cached(step_on(model, device), loss, {.chunk_size = 7}, context);
  const auto one = test::gradients_of(cached, batch, *model);
  torch::manual_seed(78);
  cached(batch);
  CHECK(test::gradient_error(test::take_gradients(*model), one) > 1e-3);
}

/// In float32 with 16-bit products: compares chunks with the whole batch, whose losses see the same
/// features.
void check_rounded_products(torch::Device device) {
  const StepContext context{.device = device};
  const auto batch = test::small_batch(127);
  for (const auto products : {torch::kFloat, torch::kBFloat16}) {
    const TiledInfoNce loss({.tiles = {.rows = 64,
                                       .columns = 64,
                                       .matmul_dtype = products,
                                       .testing = {.emulate_cuda_rounding = true}}});
    auto model = test::small_model();
    model->to(device);
    FullBatch direct(step_on(model, device), loss, context);
    const auto expected = test::gradients_of(direct, batch, *model);
    GradCache cached(step_on(model, device), loss, {.chunk_size = 16}, context);
    const auto result = test::gradients_of(cached, batch, *model);
    // Features of chunks differ in their last bits and may round to other 16-bit numbers.
    const double limit = products == torch::kFloat ? 2e-5 : test::tolerance(products) / 4;
    CHECK(test::gradient_error(result, expected, 0.1) < limit);
  }
}

}  // namespace

TEST_CASE("GradCache with the losses as CUDA computes them equals the whole batch", "[step][cpu]") {
  check_rounded_products(torch::kCPU);
}

TEST_CASE("GradCache on CUDA equals the whole batch, dropout replayed", "[step][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const TileOptions tiles{.rows = 16, .columns = 16};
  check_device(torch::kCUDA, TiledInfoNce({.tiles = tiles}), false);
  check_device(torch::kCUDA, TiledSigmoidLoss({.tiles = tiles}), true);
  check_rounded_products(torch::kCUDA);
}

TEST_CASE("The checks of GradCache on CUDA hold on the CPU too", "[step][cpu]") {
  check_device(torch::kCPU, TiledInfoNce({.tiles = {.rows = 16, .columns = 16}}), false);
}
