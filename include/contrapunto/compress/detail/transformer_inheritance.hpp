// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/compress/detail/units.hpp"
#include "contrapunto/compress/unit_importance.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/nn/activation.hpp"

namespace contrapunto::detail {

/// The parts of a CLIP transformer that determine its shapes.
struct TransformerShape {
  std::int64_t width, head_width;
  std::vector<std::int64_t> heads, hidden;  ///< Of each layer.
  Activation activation;

  template <class TransformerOptions>
  explicit TransformerShape(const TransformerOptions& o)
      : width(o.width), head_width(o.numbers_per_head()), activation(o.activation) {
    for (std::int64_t i = 0; i < o.layers; ++i) {
      heads.push_back(o.heads_in(i));
      hidden.push_back(o.hidden_in(i));
    }
  }
  [[nodiscard]] std::int64_t layers() const { return std::ssize(heads); }
};

/// Returns the importance of the units of a transformer by the squares of their weights. Its names
/// in `source` begin with `prefix`.
inline UnitImportance magnitude_importance(const TensorMap& source, const std::string& prefix,
                                           const TransformerShape& shape) {
  UnitImportance importance;
  for (std::int64_t i = 0; i < shape.layers(); ++i) {
    const auto find = [&](const std::string& name) {
      const auto whole = prefix + "transformer.resblocks." + std::to_string(i) + "." + name;
      const auto found = source.find(whole);
      TORCH_CHECK(found != source.end(), "inherit_weights: the source has no tensor '", whole,
                  "'; the towers must be of the same kind");
      return found->second;
    };
    const auto fc = find("mlp.c_fc.weight"), proj = find("mlp.c_proj.weight");
    importance.width.push_back(energy(fc, 1) + energy(proj, 0));
    importance.hidden.push_back(energy(fc, 0) + energy(proj, 1));
    const auto heads = shape.heads[static_cast<std::size_t>(i)];
    importance.heads.push_back(at::zeros({heads}, at::kDouble));
    if (heads == 0) continue;
    const auto in = find("attn.in_proj_weight"), out = find("attn.out_proj.weight");
    importance.width.back() += energy(in, 1) + energy(out, 0);
    importance.heads.back() = energy(in, 0).view({3, heads, -1}).sum(at::IntArrayRef({0, 2})) +
                              energy(out, 1).view({heads, -1}).sum(1);
  }
  return importance;
}

/// Selects the weights of one transformer, whose OpenCLIP names begin with `prefix`.
class TransformerInheritance {
 public:
  TransformerInheritance(const TensorMap& source, std::string prefix, const TransformerShape& from,
                         const TransformerShape& to, const std::vector<std::int64_t>& layers,
                         const UnitImportance* importance)
      : source_(source), prefix_(std::move(prefix)), from_(from), to_(to), layers_(layers) {
    TORCH_CHECK(from.head_width == to.head_width, "inherit_weights: the heads of '", prefix_,
                "' have ", to.head_width, " numbers and those of the source ", from.head_width,
                "; heads are inherited whole, so choose width and heads with the same quotient");
    TORCH_CHECK(to.width <= from.width, "inherit_weights: '", prefix_, "' is wider (", to.width,
                ") than the source (", from.width, ")");
    for (std::size_t i = 0; i < layers.size(); ++i) {
      TORCH_CHECK(0 <= layers[i] && layers[i] < from.layers(), "inherit_weights: layer ", layers[i],
                  " of '", prefix_, "' does not exist; the source has ", from.layers());
      const auto theirs = static_cast<std::size_t>(layers[i]);
      TORCH_CHECK(to.heads[i] <= from.heads[theirs] && to.hidden[i] <= from.hidden[theirs],
                  "inherit_weights: layer ", i, " of '", prefix_, "' is wider (", to.heads[i],
                  " heads, MLP ", to.hidden[i], ") than layer ", theirs, " of the source (",
                  from.heads[theirs], " heads, MLP ", from.hidden[theirs], ")");
    }
    choose_units(importance);
  }

  /// Returns the source of the tensor `name` of the student, cut to its shape.
  [[nodiscard]] at::Tensor operator()(const std::string& name) const {
    auto own = name.substr(prefix_.size());
    std::size_t layer = 0;
    if (const auto at = own.find(kBlocks); at != std::string::npos) {
      const auto begin = at + kBlocks.size();
      const auto end = own.find('.', begin);
      layer = std::stoul(own.substr(begin, end - begin));
      own = own.substr(0, begin) + std::to_string(layers_[layer]) + own.substr(end);
    }
    auto tensor = find(own);
    for (std::int64_t d = 0; d < tensor.dim(); ++d)
      if (const auto units = units_of(own, d, layer); units.defined())
        tensor = tensor.index_select(d, units.to(tensor.device()));
    return tensor;
  }

 private:
  static constexpr std::string_view kBlocks = "transformer.resblocks.";

  [[nodiscard]] const at::Tensor& find(const std::string& own) const {
    const auto found = source_.find(prefix_ + own);
    TORCH_CHECK(found != source_.end(), "inherit_weights: the source has no tensor '", prefix_, own,
                "'; the towers must be of the same kind");
    return found->second;
  }

  /// Units of dimension `d` that are inherited; undefined for a dimension that is kept whole.
  [[nodiscard]] at::Tensor units_of(const std::string& own, std::int64_t d,
                                    std::size_t layer) const {
    const auto is = [&](const char* end) { return own.ends_with(end); };
    const auto rows_of = [&](std::int64_t copies) {
      const auto inner = from_.heads[static_cast<std::size_t>(layers_[layer])] * from_.head_width;
      const auto rows = rows_of_heads(heads_[layer], from_.head_width);
      std::vector<at::Tensor> all;
      for (std::int64_t i = 0; i < copies; ++i) all.push_back(rows + i * inner);
      return at::cat(all);
    };
    if (is("attn.in_proj_weight") || is("attn.in_proj_bias")) return d == 0 ? rows_of(3) : width_;
    if (is("attn.out_proj.weight")) return d == 0 ? width_ : rows_of(1);
    if (is("mlp.c_fc.weight") || is("mlp.c_fc.bias")) return d == 0 ? hidden_[layer] : width_;
    if (is("mlp.c_proj.weight")) return d == 0 ? width_ : hidden_[layer];
    if (is("positional_embedding") || is("token_embedding.weight"))
      return d == 1 ? width_ : at::Tensor();
    if (is("conv1.weight") || is("proj") || is("text_projection"))
      return d == 0 ? width_ : at::Tensor();
    return width_;  // Class embedding, layer norms and biases.
  }

  /// Without `importance` the leading units are chosen.
  void choose_units(const UnitImportance* importance) {
    if (importance == nullptr) {
      width_ = at::arange(to_.width);
      for (const auto heads : to_.heads) heads_.push_back(at::arange(heads));
      for (const auto hidden : to_.hidden) hidden_.push_back(at::arange(hidden));
      return;
    }
    const auto scores = [&](const char* what, const std::vector<at::Tensor>& list,
                            std::int64_t layer, std::int64_t units) {
      const bool known =
          layer < std::ssize(list) && list[static_cast<std::size_t>(layer)].defined();
      const auto found = known ? list[static_cast<std::size_t>(layer)] : at::Tensor();
      TORCH_CHECK(known && found.sizes() == at::IntArrayRef({units}),
                  "inherit_weights: the importance of the ", what, " of layer ", layer, " of '",
                  prefix_, "' is ", known ? c10::str(found.sizes()) : "missing", ", expected [",
                  units, "]; measure_importance() of the source gives it");
      return found.to(at::kDouble).cpu();
    };
    auto width = at::zeros({from_.width}, at::kDouble);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto layer = layers_[i];
      const auto theirs = static_cast<std::size_t>(layer);
      width += scores("width", importance->width, layer, from_.width);
      heads_.push_back(largest_units(scores("heads", importance->heads, layer, from_.heads[theirs]),
                                     to_.heads[i]));
      hidden_.push_back(largest_units(
          scores("hidden units", importance->hidden, layer, from_.hidden[theirs]), to_.hidden[i]));
    }
    width_ = largest_units(width, to_.width);
  }

  const TensorMap& source_;
  std::string prefix_;
  TransformerShape from_, to_;
  std::vector<std::int64_t> layers_;
  at::Tensor width_;                        // Of all layers, because the residual stream is shared.
  std::vector<at::Tensor> heads_, hidden_;  // Of each inherited layer.
};

}  // namespace contrapunto::detail
