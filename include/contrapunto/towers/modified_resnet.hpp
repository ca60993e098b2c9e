// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/avg_pool2d.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/nn/activation_checkpoint.hpp"
#include "contrapunto/nn/attention_pool_2d.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/bottleneck.hpp"
#include "contrapunto/nn/convolution.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

struct ModifiedResNetOptions {
  std::int64_t image_size = 224;                      ///< Pixels; a multiple of 32.
  std::array<std::int64_t, 4> layers = {3, 4, 6, 3};  ///< Number of bottlenecks in each of the four
                                                      ///< stages.
  std::int64_t width = 64;                            ///< Channels of the stem; even.
  std::int64_t heads = 32;  ///< Heads of the attention pool; must divide 32 * width.
  std::int64_t output_dim = 1024;

  /// Side of the last feature map.
  [[nodiscard]] std::int64_t grid() const { return image_size / 32; }
};

/// CLIP's ResNet with OpenCLIP's parameter names: a stem of three convolutions, average pooling
/// before strided convolutions, and attention pooling. It always computes in channels-last memory
/// format.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class ModifiedResNetImpl : public torch::nn::Module {
 public:
  /// `tensor_options` gives the dtype and device of the parameters; the meta device creates shapes
  /// only. Raises for an invalid `image_size` or `width`.
  explicit ModifiedResNetImpl(ModifiedResNetOptions options = {},
                              const at::TensorOptions& tensor_options = {})
      : o_(options) {
    TORCH_CHECK(o_.image_size >= 32 && o_.image_size % 32 == 0, "ModifiedResNet: image_size (",
                o_.image_size, ") must be a multiple of 32");
    TORCH_CHECK(o_.width > 0 && o_.width % 2 == 0, "ModifiedResNet: width (", o_.width,
                ") must be positive and even");
    for (const auto count : o_.layers)
      TORCH_CHECK(count > 0, "ModifiedResNet: layers (", at::IntArrayRef(o_.layers),
                  ") must give every stage at least one block");
    const auto half = o_.width / 2;
    const auto stem = [&](const char* index, std::int64_t in, std::int64_t out,
                          std::int64_t stride) {
      convolutions.push_back(register_module(std::string("conv") + index,
                                             Convolution(in, out, 3, stride, tensor_options)));
      norms.push_back(
          register_module(std::string("bn") + index, BatchNorm(out, 1.0, tensor_options)));
    };
    stem("1", 3, half, 2);
    stem("2", half, half, 1);
    stem("3", half, o_.width, 1);
    auto in = o_.width;
    for (std::int64_t stage = 0; stage < 4; ++stage) {
      const auto list = register_module("layer" + std::to_string(stage + 1),
                                        std::make_shared<torch::nn::Module>());
      const auto planes = o_.width << stage;
      for (std::int64_t i = 0; i < o_.layers[static_cast<std::size_t>(stage)]; ++i) {
        const std::int64_t stride = i == 0 && stage > 0 ? 2 : 1;
        blocks.push_back(list->register_module(std::to_string(i),
                                               Bottleneck(in, planes, stride, tensor_options)));
        in = planes * BottleneckImpl::kExpansion;
      }
    }
    attnpool = register_module(
        "attnpool",
        AttentionPool2d(
            AttentionPool2dOptions{
                .grid = o_.grid(), .width = in, .heads = o_.heads, .output_dim = o_.output_dim},
            tensor_options));
  }

  /// Maps normalized images [B, 3, image_size, image_size] of any floating dtype and memory format
  /// to features [B, output_dim], which are not normalized. Raises for another size, unless
  /// accept_images() was called with it, and for images that are not floating point.
  [[nodiscard]] at::Tensor forward(const at::Tensor& images) {
    TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == accepted_ &&
                    images.size(3) == accepted_,
                "ModifiedResNet: images are ", images.sizes(), ", but this tower takes [B, 3, ",
                accepted_, ", ", accepted_,
                "]; resize them, or build the tower with another image_size (loading resizes its "
                "positions)");
    TORCH_CHECK(images.is_floating_point(), "ModifiedResNet: images are ", images.scalar_type(),
                ", not floating point; normalize them first with normalize_images()");
    auto x = images.to(convolutions.front()->weight.scalar_type(), /*non_blocking=*/false,
                       /*copy=*/false, at::MemoryFormat::ChannelsLast);
    for (std::size_t i = 0; i < convolutions.size(); ++i) x = norms[i](convolutions[i](x)).relu_();
    x = at::avg_pool2d(x, {2, 2});
    for (auto& block : blocks)
      x = checkpoint_
              ? activation_checkpoint([block](const at::Tensor& z) mutable { return block(z); }, x,
                                      block->parameters())
              : block(x);
    return attnpool(x);
  }

  /// Takes images of `image_size` pixels from now on, for a phase of a training, and returns the
  /// size before. No parameter changes: the positions of the attention pool are resized in each
  /// forward, so that gradients reach them. Raises unless `image_size` is a positive multiple of
  /// 32.
  std::int64_t accept_images(std::int64_t image_size) {
    TORCH_CHECK(image_size > 0 && image_size % 32 == 0, "ModifiedResNet: image_size (", image_size,
                ") must be a positive multiple of 32");
    return std::exchange(accepted_, image_size);
  }

  /// Turns activation checkpointing on or off: the forward then keeps only the input of each
  /// bottleneck, and the backward runs the bottleneck again; see activation_checkpoint.
  void checkpoint_activations(bool on) { checkpoint_ = on; }

  /// Returns the cost of one image. The result of each convolution is kept twice: before its norm
  /// and after the activation.
  [[nodiscard]] ForwardCost cost(std::int64_t /*tokens*/ = 0) const {
    ForwardCost cost;
    const auto convolution = [&](std::int64_t side, std::int64_t in, std::int64_t out,
                                 std::int64_t kernel) {
      const auto results = static_cast<double>(side * side * out);
      cost.macs += results * static_cast<double>(in * kernel * kernel);
      cost.kept_elements += 2.0 * results;
    };
    auto side = accepted_ / 2;
    convolution(side, 3, o_.width / 2, 3);
    convolution(side, o_.width / 2, o_.width / 2, 3);
    convolution(side, o_.width / 2, o_.width, 3);
    side /= 2;
    auto in = o_.width;
    for (std::int64_t stage = 0; stage < 4; ++stage) {
      const auto planes = o_.width << stage;
      const auto out = planes * BottleneckImpl::kExpansion;
      for (std::int64_t i = 0; i < o_.layers[static_cast<std::size_t>(stage)]; ++i) {
        convolution(side, in, planes, 1);
        convolution(side, planes, planes, 3);
        if (i == 0 && stage > 0) side /= 2;
        convolution(side, planes, out, 1);
        if (i == 0) convolution(side, in, out, 1);
        in = out;
      }
    }
    const auto grid = accepted_ / 32;
    const auto tokens = static_cast<double>(grid * grid + 1);
    const auto width = static_cast<double>(in);
    cost.macs += tokens * width * (3.0 * width + 2.0 * tokens + static_cast<double>(o_.output_dim));
    return cost;
  }

  /// The stem, layer1 to layer4, and the attention pool.
  [[nodiscard]] LockGroups lock_groups() const {
    return {{}, {"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}, {"attnpool"}};
  }

  /// Resizes the position embeddings of the attention pool to this tower's grid.
  [[nodiscard]] at::Tensor fit_open_clip_tensor(const std::string& name,
                                                const at::Tensor& source) const {
    const auto& own = attnpool->positional_embedding;
    const bool fits = name != "attnpool.positional_embedding" || source.dim() != 2 ||
                      source.sizes() == own.sizes() || source.size(1) != own.size(1);
    return fits ? source : resize_grid_positions(source, /*prefix=*/1, o_.grid());
  }

  [[nodiscard]] const ModifiedResNetOptions& options() const { return o_; }

  std::vector<Convolution> convolutions;  ///< Of the stem: conv1, conv2 and conv3.
  std::vector<BatchNorm> norms;           ///< Of the stem: bn1, bn2 and bn3.
  std::vector<Bottleneck> blocks;         ///< Of layer1 to layer4.
  AttentionPool2d attnpool = nullptr;

 private:
  ModifiedResNetOptions o_;
  std::int64_t accepted_ = o_.image_size;  // Pixels of the images that forward() takes.
  bool checkpoint_ = false;
};
TORCH_MODULE(ModifiedResNet);

}  // namespace contrapunto
