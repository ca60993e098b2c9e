// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/compress/detail/units.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/modified_resnet.hpp"

namespace contrapunto::detail {

/// Selects the weights of a ModifiedResNet, whose OpenCLIP names begin with "visual.". The channels
/// of a stage's residual stream are the same in all of its blocks, because they are added; those
/// inside a block are chosen for each block. The batch norms keep the statistics of their channels.
class ResNetInheritance {
 public:
  using Stages = std::array<std::vector<std::int64_t>, 4>;

  /// `stages` lists the blocks to inherit. If `by_magnitude` is false, leading channels are
  /// inherited. The heads of both attention pools are equally wide.
  ResNetInheritance(const TensorMap& source, const ModifiedResNetOptions& from,
                    const ModifiedResNetOptions& to, Stages stages, bool by_magnitude)
      : source_(source),
        stages_(std::move(stages)),
        by_magnitude_(by_magnitude),
        head_width_(32 * from.width / from.heads) {
    TORCH_CHECK(to.width <= from.width, "inherit_weights: the image tower is wider (", to.width,
                ") than the source (", from.width, ")");
    const auto choose = [&](std::int64_t count, const std::vector<Use>& uses) {
      if (!by_magnitude_) return at::arange(count);
      at::Tensor sum;
      for (const auto& use : uses) sum = sum.defined() ? sum + energy_of(use) : energy_of(use);
      return largest_units(sum, count);
    };
    const auto half = to.width / 2;
    stem_ = {choose(half, {{"conv1", 0}, {"conv2", 1}}), choose(half, {{"conv2", 0}, {"conv3", 1}}),
             choose(to.width,
                    {{"conv3", 0}, {block(0, 0) + "conv1", 1}, {block(0, 0) + "downsample.0", 1}})};
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      const auto planes = to.width << s;
      std::vector<Use> stream = {{block(s, 0) + "downsample.0", 0}};
      for (std::size_t b = 0; b < stages_[s].size(); ++b) {
        const auto name = block(s, b);
        inner_[s].emplace_back(choose(planes, {{name + "conv1", 0}, {name + "conv2", 1}}),
                               choose(planes, {{name + "conv2", 0}, {name + "conv3", 1}}));
        stream.push_back({name + "conv3", 0});
        if (b > 0) stream.push_back({name + "conv1", 1});
      }
      if (s + 1 < stages_.size())
        for (const auto* reader : {"conv1", "downsample.0"})
          stream.push_back({block(s + 1, 0) + reader, 1});
      else
        for (const auto* reader : {"q_proj", "k_proj", "v_proj"})
          stream.push_back({std::string("attnpool.") + reader, 1});
      stream_[s] = choose(4 * planes, stream);
    }
    auto heads = at::arange(to.heads);
    if (by_magnitude_) {
      auto rows = energy(find("attnpool.c_proj.weight"), 1);
      for (const auto* part : {"q_proj", "k_proj", "v_proj"})
        rows += energy(find(std::string("attnpool.") + part + ".weight"), 0);
      heads = largest_units(rows.view({from.heads, -1}).sum(1), to.heads);
    }
    head_rows_ = rows_of_heads(heads, head_width_);
  }

  /// Returns the source of the tensor `name` of the student, cut to its shape.
  [[nodiscard]] at::Tensor operator()(const std::string& name) const {
    const auto own = name.substr(kPrefix.size());
    auto theirs = own;
    std::pair<at::Tensor, at::Tensor>
        units;  // Of the first two dimensions; undefined: all of them.
    if (own.starts_with("attnpool."))
      units = units_of_pool(own.substr(9));
    else if (own.starts_with("layer")) {
      const auto s = static_cast<std::size_t>(own[5] - '1');
      const auto end = own.find('.', 7);
      const auto b = static_cast<std::size_t>(std::stoul(own.substr(7, end - 7)));
      theirs = block(s, b) + own.substr(end + 1);
      units = units_of_block(s, b, own.substr(end + 1));
    } else {  // conv1, bn1 and so on.
      const auto i = static_cast<std::size_t>(own[own.find_first_of("123")] - '1');
      units = {stem_[i], i > 0 ? stem_[i - 1] : at::Tensor()};
    }
    auto tensor = find(theirs);
    if (tensor.dim() > 0 && units.first.defined())
      tensor = tensor.index_select(0, units.first.to(tensor.device()));
    if (tensor.dim() > 1 && units.second.defined())
      tensor = tensor.index_select(1, units.second.to(tensor.device()));
    return tensor;
  }

 private:
  static constexpr std::string_view kPrefix = "visual.";

  /// A matrix or convolution whose rows (dimension 0) or columns (1) belong to the units.
  struct Use {
    std::string name;
    std::int64_t dim;
  };

  [[nodiscard]] const at::Tensor& find(const std::string& own) const {
    const auto found = source_.find(std::string(kPrefix) + own);
    TORCH_CHECK(found != source_.end(), "inherit_weights: the source has no tensor '", kPrefix, own,
                "'");
    return found->second;
  }

  /// The beginning of the names of the source's block that block `b` of stage `s` inherits.
  [[nodiscard]] std::string block(std::size_t s, std::size_t b) const {
    return "layer" + std::to_string(s + 1) + "." + std::to_string(stages_[s][b]) + ".";
  }

  /// The batch norm behind a convolution makes the scale of its weights meaningless, so the weights
  /// are multiplied by the norm's scale first.
  [[nodiscard]] at::Tensor energy_of(const Use& use) const {
    auto weight = find(use.name + ".weight").to(at::kDouble).cpu();
    if (weight.dim() == 4) {
      auto norm = use.name;
      if (norm.ends_with("downsample.0"))
        norm.back() = '1';
      else
        norm.replace(norm.rfind("conv"), 4, "bn");
      const auto scale = find(norm + ".weight").to(at::kDouble).cpu() /
                         (find(norm + ".running_var").to(at::kDouble).cpu() + 1e-5).sqrt();
      weight = weight * scale.view({-1, 1, 1, 1});
    }
    return energy(weight, use.dim);
  }

  [[nodiscard]] std::pair<at::Tensor, at::Tensor> units_of_pool(const std::string& own) const {
    if (own == "positional_embedding") return {at::Tensor(), stream_.back()};
    if (own == "c_proj.weight") return {at::Tensor(), head_rows_};
    if (own == "c_proj.bias") return {};
    return {head_rows_, stream_.back()};
  }

  [[nodiscard]] std::pair<at::Tensor, at::Tensor> units_of_block(std::size_t s, std::size_t b,
                                                                 const std::string& own) const {
    const auto& input = b > 0 ? stream_[s] : s > 0 ? stream_[s - 1] : stem_.back();
    const auto& [first, second] = inner_[s][b];
    if (own.starts_with("conv1") || own.starts_with("bn1")) return {first, input};
    if (own.starts_with("conv2") || own.starts_with("bn2")) return {second, first};
    if (own.starts_with("conv3") || own.starts_with("bn3")) return {stream_[s], second};
    return {stream_[s], input};  // The shortcut.
  }

  const TensorMap& source_;
  Stages stages_;
  bool by_magnitude_;
  std::int64_t head_width_;
  std::array<at::Tensor, 3> stem_;
  std::array<std::vector<std::pair<at::Tensor, at::Tensor>>, 4> inner_;  // Of each block.
  std::array<at::Tensor, 4> stream_;                                     // Of each stage.
  at::Tensor head_rows_;
};

}  // namespace contrapunto::detail
