// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include <algorithm>
#include <vector>

#include "contrapunto/nn/sync_batch_norm.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

ModifiedResNet make_resnet() {
  torch::manual_seed(44);
  ModifiedResNet resnet(test::small_resnet());
  resnet->to(torch::kDouble);
  const at::NoGradGuard no_grad;
  // The last norms of new blocks have zero weights, which would hide what happens inside.
  for (auto& item : resnet->named_parameters())
    if (item.key().find("bn") != std::string::npos) item.value().uniform_(0.5, 1.5);
  return resnet;
}

/// Features of the second of two training forwards; leaves the gradients of their weighted sum.
at::Tensor train(ModifiedResNet resnet, const at::Tensor& images, const at::Tensor& weights) {
  static_cast<void>(resnet(images.flip(3)));
  const auto features = resnet(images);
  (features * weights).sum().backward();
  return features.detach();
}

}  // namespace

TEST_CASE("A ResNet with synchronized batch norm trains on ranks as on the whole batch",
          "[towers][cpu]") {
  const bool checkpoint = GENERATE(false, true);
  const auto sizes =
      GENERATE(std::vector<std::int64_t>{1, 5}, std::vector<std::int64_t>{2, 1, 1, 2});
  auto whole = make_resnet();
  const auto images = torch::randn({6, 3, 64, 64}, torch::kDouble);
  const auto weights = torch::randn({6, 20}, torch::kDouble);
  const auto expected = train(whole, images, weights);

  std::vector<ModifiedResNet> resnets;
  for (std::size_t r = 0; r < sizes.size(); ++r) {
    resnets.push_back(make_resnet());
    resnets.back()->checkpoint_activations(checkpoint);
  }
  std::vector<at::Tensor> features(sizes.size());
  test::run_thread_ranks(static_cast<std::int64_t>(sizes.size()),
                         [&](const test::ThreadRank& rank) {
                           const auto r = static_cast<std::size_t>(rank.rank());
                           std::int64_t begin = 0;
                           for (std::size_t i = 0; i < r; ++i) begin += sizes[i];
                           synchronize_batch_norm(*resnets[r], rank);
                           features[r] = train(resnets[r], images.narrow(0, begin, sizes[r]),
                                               weights.narrow(0, begin, sizes[r]));
                         });
  CHECK(test::close(torch::cat(features), expected, 10));
  const auto parameters = whole->named_parameters();
  double largest = 0.0;
  for (const auto& item : parameters)
    largest = std::max(largest, item.value().grad().abs().max().item<double>());
  for (const auto& item : parameters) {
    auto sum = torch::zeros_like(item.value());
    for (auto& resnet : resnets) sum += resnet->named_parameters()[item.key()].grad();
    INFO(item.key());
    CHECK((sum - item.value().grad()).abs().max().item<double>() < 1e-11 * largest);
  }
  for (const auto& item : whole->named_buffers())
    for (auto& resnet : resnets) {
      const auto own = resnet->named_buffers()[item.key()];
      INFO(item.key());
      CHECK(test::close(own.to(torch::kDouble), item.value().to(torch::kDouble), 10));
    }
}
