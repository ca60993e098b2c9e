// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include <vector>

#include "contrapunto/distributed/single_process.hpp"
#include "contrapunto/nn/sync_batch_norm.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

struct Result {
  at::Tensor output, dx, dweight, dbias, mean, variance;
  std::int64_t batches = 0;
};

BatchNorm make_norm(at::ScalarType kind) {
  torch::manual_seed(1);
  BatchNorm norm(5);
  const at::NoGradGuard no_grad;
  norm->weight.normal_();
  norm->bias.normal_();
  norm->to(kind);
  return norm;
}

/// Two training steps; gradients are those of the second one's weighted sum of squares.
Result train(BatchNorm norm, const at::Tensor& images, const at::Tensor& weights) {
  static_cast<void>(norm(images * 2));
  const auto x = images.detach().clone().requires_grad_();
  const auto y = norm(x);
  (y * y * weights).sum().backward();
  return {y.detach(),
          x.grad(),
          norm->weight.grad(),
          norm->bias.grad(),
          norm->running_mean,
          norm->running_var,
          norm->num_batches_tracked.item<std::int64_t>()};
}

/// The same on ranks that share the batch as `sizes` says: outputs and dx are put together,
/// gradients of parameters summed; statistics must be the same bits everywhere.
Result train_on_ranks(const std::vector<std::int64_t>& sizes, at::ScalarType kind,
                      const at::Tensor& images, const at::Tensor& weights) {
  std::vector<BatchNorm> norms;
  for (std::size_t r = 0; r < sizes.size(); ++r) norms.push_back(make_norm(kind));
  std::vector<Result> results(sizes.size());
  test::run_thread_ranks(
      static_cast<std::int64_t>(sizes.size()), [&](const test::ThreadRank& rank) {
        const auto r = static_cast<std::size_t>(rank.rank());
        std::int64_t begin = 0;
        for (std::size_t i = 0; i < r; ++i) begin += sizes[i];
        synchronize_batch_norm(*norms[r], rank);
        results[r] =
            train(norms[r], images.narrow(0, begin, sizes[r]), weights.narrow(0, begin, sizes[r]));
      });
  auto whole = results.front();
  for (std::size_t r = 1; r < results.size(); ++r) {
    whole.output = torch::cat({whole.output, results[r].output});
    whole.dx = torch::cat({whole.dx, results[r].dx});
    whole.dweight = whole.dweight + results[r].dweight;
    whole.dbias = whole.dbias + results[r].dbias;
    REQUIRE(at::equal(whole.mean, results[r].mean));
    REQUIRE(at::equal(whole.variance, results[r].variance));
  }
  return whole;
}

/// Images whose statistics differ from rank to rank.
at::Tensor drifting_images(std::int64_t n, double offset) {
  torch::manual_seed(n);
  return torch::randn({n, 5, 3, 2}, torch::kDouble) +
         torch::arange(n, torch::kDouble).view({n, 1, 1, 1}) + offset;
}

}  // namespace

TEST_CASE("Synchronized batch norm on ranks is batch norm of the whole batch", "[nn][cpu]") {
  const std::vector<std::int64_t> sizes =
      GENERATE(std::vector<std::int64_t>{5, 5}, std::vector<std::int64_t>{3, 7},
               std::vector<std::int64_t>{3, 4, 1, 2}, std::vector<std::int64_t>{6, 0, 3, 1});
  const bool channels_last = GENERATE(false, true);
  auto images = drifting_images(10, 0);
  if (channels_last) images = images.contiguous(at::MemoryFormat::ChannelsLast);
  const auto weights = torch::randn_like(images);
  const auto expected = train(make_norm(torch::kDouble), images, weights);
  const auto result = train_on_ranks(sizes, torch::kDouble, images, weights);
  CHECK(test::close(result.output, expected.output));
  CHECK(test::close(result.dx, expected.dx));
  CHECK(test::close(result.dweight, expected.dweight));
  CHECK(test::close(result.dbias, expected.dbias));
  CHECK(test::close(result.mean, expected.mean));
  CHECK(test::close(result.variance, expected.variance));
  CHECK(result.batches == 2);
}

TEST_CASE("Synchronized batch norm in float32 is as exact as one process, means far off too",
          "[nn][cpu]") {
  const auto images = drifting_images(10, GENERATE(0.0, 100.0, 1000.0)).to(torch::kFloat);
  const auto weights = torch::randn_like(images);
  const auto exact =
      train(make_norm(torch::kDouble), images.to(torch::kDouble), weights.to(torch::kDouble));
  const auto plain = train(make_norm(torch::kFloat), images, weights);
  const auto result = train_on_ranks({3, 7}, torch::kFloat, images, weights);
  const auto check = [&](auto member) {
    const double error = test::relative_error(result.*member, exact.*member);
    const double usual = test::relative_error(plain.*member, exact.*member);
    INFO("error " << error << ", of one process " << usual);
    CHECK(error <= 1.2 * usual + 2 * test::tolerance(torch::kFloat));
  };
  for (const auto member : {&Result::output, &Result::dx, &Result::dweight, &Result::dbias,
                            &Result::mean, &Result::variance})
    check(member);
}

TEST_CASE("Synchronized batch norm takes 16-bit inputs and keeps float32 statistics", "[nn][cpu]") {
  const auto images = drifting_images(10, 0).to(torch::kBFloat16);
  const auto weights = torch::randn_like(images);
  const auto exact =
      train(make_norm(torch::kDouble), images.to(torch::kDouble), weights.to(torch::kDouble));
  const auto result = train_on_ranks({3, 4, 1, 2}, torch::kFloat, images, weights);
  CHECK(result.output.scalar_type() == torch::kBFloat16);
  CHECK(result.dx.scalar_type() == torch::kBFloat16);
  CHECK(result.mean.scalar_type() == torch::kFloat);
  CHECK(test::close(result.output, exact.output));
  CHECK(test::close(result.dx, exact.dx, 2));
  // images * 2 is exact in bfloat16.
  CHECK(test::close(result.mean, exact.mean));
  CHECK(test::close(result.variance, exact.variance));
}

TEST_CASE(
    "A recomputed forward of synchronized batch norm gives the same output and updates no "
    "statistics",
    "[nn][cpu]") {
  const auto images = drifting_images(6, 0);
  std::vector<BatchNorm> norms{make_norm(torch::kDouble), make_norm(torch::kDouble)};
  bool same = true, kept = true;
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    auto& norm = norms[static_cast<std::size_t>(rank.rank())];
    synchronize_batch_norm(*norm, rank);
    const auto x = images.narrow(0, 3 * rank.rank(), 3);
    const auto first = norm(x);
    const auto mean = norm->running_mean.clone(), variance = norm->running_var.clone();
    const RecomputeScope again;
    const auto second = norm(x);
    rank.barrier();
    if (rank.rank() == 0) {
      same = at::equal(first, second);
      kept = at::equal(mean, norm->running_mean) && at::equal(variance, norm->running_var);
    }
  });
  CHECK(same);
  CHECK(kept);
  CHECK(norms[0]->num_batches_tracked.item<std::int64_t>() == 1);
}

TEST_CASE("Synchronized batch norms exchange nothing when evaluated or frozen", "[nn][cpu]") {
  // Without the error, rank 1 would wait forever.
  const auto images = drifting_images(6, 0);
  auto norm = make_norm(torch::kDouble);
  auto plain = make_norm(torch::kDouble);
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    if (rank.rank() != 0) return;
    synchronize_batch_norm(*norm, rank);
    norm->eval();
    static_cast<void>(norm(images));
    norm->train();
    norm->freeze_statistics();
    static_cast<void>(norm(images));
  });
  plain->eval();
  CHECK(at::equal(norm(images), plain(images)));
}

TEST_CASE("Constant inputs of a synchronized batch norm still train its parameters", "[nn][cpu]") {
  const auto images = drifting_images(6, 0);
  auto whole = make_norm(torch::kDouble);
  whole(images).square().sum().backward();
  std::vector<BatchNorm> norms{make_norm(torch::kDouble), make_norm(torch::kDouble)};
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    auto& norm = norms[static_cast<std::size_t>(rank.rank())];
    synchronize_batch_norm(*norm, rank);
    norm(images.narrow(0, 3 * rank.rank(), 3)).square().sum().backward();
  });
  CHECK(test::close(norms[0]->weight.grad() + norms[1]->weight.grad(), whole->weight.grad()));
  CHECK(test::close(norms[0]->bias.grad() + norms[1]->bias.grad(), whole->bias.grad()));
}

TEST_CASE("A model without batch norm and a single process stay as they are", "[nn][cpu]") {
  torch::nn::Linear linear(2, 2);
  CHECK(synchronize_batch_norm(*linear, Ranks()) == 0);
  const auto images = drifting_images(6, 0);
  auto norm = make_norm(torch::kDouble), plain = make_norm(torch::kDouble);
  synchronize_batch_norm(*norm, SingleProcess());
  CHECK(at::equal(norm(images), plain(images)));
}
