// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/checkpoint_activations.hpp"

#include <ATen/autocast_mode.h>

#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

/// Loss, gradients and buffers after one forward and backward of six pairs.
std::vector<at::Tensor> step(const ModelConfig& config, bool checkpoint, bool autocast,
                             const std::function<void(DualEncoder&)>& prepare = {}) {
  torch::manual_seed(31);
  DualEncoder model = make_dual_encoder(config);
  if (prepare) prepare(model);
  const auto images = test::images(config, 6);
  const auto tokens = test::texts({3, 9, 5, 12, 2, 7});
  if (checkpoint) checkpoint_activations(*model);
  at::autocast::set_autocast_enabled(at::kCPU, autocast);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto loss = InfoNce{}(model(images, tokens));
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  loss.backward();
  std::vector<at::Tensor> results{loss.detach()};
  for (const auto& parameter : model->parameters()) results.push_back(parameter.grad());
  for (const auto& buffer : model->buffers()) results.push_back(buffer);
  results.push_back(torch::rand({2}));
  return results;
}

void check_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("result " << i << " of " << a.size());
    REQUIRE(a[i].defined() == b[i].defined());
    if (a[i].defined()) CHECK(at::equal(a[i], b[i]));
  }
}

}  // namespace

TEST_CASE("Towers with checkpointed activations train bit for bit like plain ones",
          "[towers][cpu]") {
  for (const auto* kind : {"ViT-B-32", "RN50", "ViT-B-16-SigLIP"})
    for (const bool autocast : {false, true}) {
      INFO(kind << (autocast ? " under bf16" : ""));
      auto config = test::small_config(kind);
      if (auto* vit = std::get_if<VisionTransformerOptions>(&config.image))
        vit->patch_dropout = 0.4;
      check_same(step(config, true, autocast), step(config, false, autocast));
    }
}

TEST_CASE("Checkpointed activations respect frozen layers and batch statistics", "[towers][cpu]") {
  const auto lock_resnet = [](DualEncoder& model) {
    lock_image_tower(model, 2, /*freeze_batch_norm_statistics=*/true);
    lock_text_tower(model, 2);
  };
  const auto config = test::small_config("RN50");
  check_same(step(config, true, false, lock_resnet), step(config, false, false, lock_resnet));
}

TEST_CASE("Checkpointed activations lower the peak of memory", "[towers][cpu]") {
  const auto peak = [](const at::Tensor& input, auto tower, bool checkpoint) {
    tower->to(at::kCPU);
    tower->checkpoint_activations(checkpoint);
    for (auto& parameter : tower->parameters())  // gradients do not count as activations
      parameter.mutable_grad() = torch::zeros_like(parameter);
    const MemoryMeter meter;
    tower(input).sum().backward();
    return static_cast<double>(meter.peak_bytes());
  };
  auto vit = test::small_vit();
  vit.layers = 12;
  auto text = test::small_text();
  text.layers = 12;
  auto resnet = test::small_resnet();
  resnet.layers = {3, 4, 4, 3};
  const auto images = torch::randn({16, 3, 32, 32});
  CHECK(peak(images, VisionTransformer(vit), true) <
        0.4 * peak(images, VisionTransformer(vit), false));
  const auto tokens = test::texts(std::vector<std::int64_t>(32, 15));
  CHECK(peak(tokens, TextTransformer(text), true) <
        0.4 * peak(tokens, TextTransformer(text), false));
  const auto large = torch::randn({8, 3, 64, 64});
  CHECK(peak(large, ModifiedResNet(resnet), true) <
        0.6 * peak(large, ModifiedResNet(resnet), false));
}

TEST_CASE("Activation checkpointing can be switched off", "[towers][cpu]") {
  torch::manual_seed(32);
  VisionTransformer vit(test::small_vit());
  const auto images = torch::randn({4, 3, 32, 32});
  const auto kept = [&] {
    const MemoryMeter meter;
    const auto y = vit(images);
    return meter.current_bytes();
  };
  const auto plain = kept();
  vit->checkpoint_activations(true);
  CHECK(kept() < plain / 2);
  vit->checkpoint_activations(false);
  CHECK(kept() == plain);
}
