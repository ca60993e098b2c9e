// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "contrapunto/kernels/detail/pair_tiles.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace contrapunto::test {

/// A tile and its special pairs, on the CPU in float32.
struct TileCase {
  std::string name;
  at::Tensor products;  // [r, c]
  at::Tensor scale, bias;
  double offset = 0.0;
  detail::TilePairs pairs;
};

/// Cases with ragged sizes, positives at all possible places, keys, no scale and dropped positives;
/// tiles of up to `largest` pairs.
inline std::vector<TileCase> tile_cases(std::int64_t largest) {
  torch::manual_seed(3);
  std::vector<TileCase> cases;
  const auto add = [&](std::int64_t r, std::int64_t c, std::int64_t diagonal, bool replaced,
                       bool keys, bool drop, bool scaled) {
    if (r * c > largest) return;
    TileCase t;
    t.name = std::to_string(r) + " x " + std::to_string(c) + ", diagonal " +
             std::to_string(diagonal) + (replaced ? ", replaced" : "") + (keys ? ", keys" : "") +
             (drop ? ", dropped" : "") + (scaled ? "" : ", no scale");
    t.products = 2 * torch::rand({r, c}) - 1;
    if (scaled) {
      t.scale = torch::tensor(14.3F);
    } else {
      t.products = t.products * 14.3;
    }
    t.bias = torch::tensor(-3.0F);
    t.offset = 4.5;
    auto& pairs = t.pairs;
    const auto first = std::max<std::int64_t>(0, -diagonal);
    pairs.diagonal = diagonal;
    pairs.positives = std::max<std::int64_t>(0, std::min(r, c - diagonal) - first);
    pairs.drop_positives = drop;
    if (replaced && pairs.positives > 0)
      pairs.positive_logits = 3 * torch::randn({pairs.positives});
    if (keys) {
      pairs.row_keys = torch::randint(0, 9, {r}, torch::kLong);
      pairs.column_keys = torch::randint(0, 9, {c}, torch::kLong);
    }
    cases.push_back(std::move(t));
  };
  add(1, 1, 0, false, false, false, true);
  add(1, 127, 126, true, false, false, true);
  add(127, 1, -126, true, true, false, true);
  add(127, 127, 0, false, true, false, false);
  add(130, 516, 100, true, false, false, true);  // groups of four, a second panel and strip
  add(16, 1028, 515, false, true, false, true);
  add(9, 513, -4, true, true, false, true);
  add(40, 64, 0, false, false, true, true);
  add(40, 64, -7, false, true, true, true);
  add(33, 40, 1000, false, false, false, true);  // no positives
  add(1000, 777, 0, true, false, false, true);
  add(1000, 777, -300, true, true, false, true);
  add(777, 1000, 123, false, false, false, true);
  add(2048, 4096, 1024, true, true, false, true);
  return cases;
}

/// The expected results of the functions of the tile, in float64 from whole matrices.
struct TileOracle {
  at::Tensor logits, counts, positive;  // float64 [r, c], bool, bool

  explicit TileOracle(const TileCase& t, double bias = 0.0) {
    const auto& pairs = t.pairs;
    logits = t.products.to(torch::kDouble);
    if (t.scale.defined()) logits = logits * t.scale.to(torch::kDouble);
    logits = logits + bias;
    positive = torch::zeros(logits.sizes(), torch::kBool);
    counts = torch::ones(logits.sizes(), torch::kBool);
    if (pairs.row_keys.defined())
      counts = pairs.row_keys.unsqueeze(1) != pairs.column_keys.unsqueeze(0);
    if (pairs.positives > 0) {
      positive.diagonal(pairs.diagonal).fill_(true);
      counts.diagonal(pairs.diagonal).fill_(!pairs.drop_positives);
      if (pairs.positive_logits.defined())
        logits.diagonal(pairs.diagonal).copy_(pairs.positive_logits);
    }
  }

  [[nodiscard]] at::Tensor exponentials(double offset) const {
    return (logits - offset).exp() * counts;
  }
};

/// The functions of a tile in the host API, on `device`.
struct TileApi {
  torch::Device device;
  void exp_sums(at::Tensor& z, const at::Tensor& scale, double offset,
                const detail::TilePairs& pairs, const at::Tensor& rows, const at::Tensor& columns,
                const at::Tensor& kept) const {
    detail::exp_sums_(z, scale, offset, pairs, rows, columns, kept);
  }
  void gradient(at::Tensor& z, const at::Tensor& kept, const at::Tensor& scale, double offset,
                const detail::TilePairs& pairs, const at::Tensor& rows, const at::Tensor& columns,
                const at::Tensor& positives, at::Tensor& gradient) const {
    detail::gradient_tile_(z, kept, scale, offset, pairs, rows, columns, positives, gradient);
  }
  void sigmoid(at::Tensor& z, const at::Tensor& scale, const at::Tensor& bias,
               const detail::TilePairs& pairs, at::Tensor& loss, at::Tensor& bias_gradient,
               double factor, const at::Tensor& positives, const at::Tensor& gradient) const {
    detail::sigmoid_tile_(z, scale, bias, pairs, loss, bias_gradient, factor, positives, gradient);
  }
};

inline at::Tensor on(torch::Device device, const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(device).clone() : tensor;
}

inline detail::TilePairs on(torch::Device device, detail::TilePairs pairs) {
  pairs.positive_logits = on(device, pairs.positive_logits);
  pairs.row_keys = on(device, pairs.row_keys);
  pairs.column_keys = on(device, pairs.column_keys);
  return pairs;
}

/// Compares all three functions of `api` with float64, in every dtype that they write, for tiles of
/// up to `largest` pairs.
template <class Api>
void check_tiles(const Api& api, std::int64_t largest) {
  const auto device = api.device;
  for (const auto& t : tile_cases(largest)) {
    INFO(t.name);
    const auto r = t.products.size(0), c = t.products.size(1);
    const TileOracle oracle(t);
    const auto e = oracle.exponentials(t.offset);
    const auto pairs = on(device, t.pairs);
    const auto scale = on(device, t.scale);
    // float32 rounds logits of +-14.3, and so the exponentials, by some 1e-6.
    const double float_limit = 3e-6;
    const auto close = [&](const at::Tensor& result, const at::Tensor& expected, double limit) {
      return test::relative_error(result, expected) <= limit;
    };

    std::vector<at::Tensor> all_kept{at::Tensor()};
    for (const auto kept_as : {torch::kUInt8, torch::kFloat, torch::kBFloat16}) {
      auto z = on(device, t.products);
      const auto rows = torch::full({r}, 0.5, z.options());
      const auto columns = torch::full({c}, 0.25, z.options());
      at::Tensor kept;
      if (kept_as != torch::kUInt8) kept = torch::full({r, c}, 7.0, z.options().dtype(kept_as));
      api.exp_sums(z, scale, t.offset, pairs, rows, columns, kept);
      CHECK(close(rows, e.sum(1) + 0.5, float_limit));
      CHECK(close(columns, e.sum(0) + 0.25, float_limit));
      if (!kept.defined()) continue;
      CHECK(close(kept, e, kept_as == torch::kFloat ? float_limit : 1.0 / 256));
      all_kept.push_back(kept);
      auto again = on(device, t.products);
      const auto only_rows = torch::zeros({r}, z.options());
      api.exp_sums(again, scale, t.offset, pairs, only_rows, {}, {});
      CHECK(close(only_rows, e.sum(1), float_limit));
    }

    const auto of_rows = torch::rand({r}), of_columns = torch::rand({c});
    for (const auto& kept : all_kept)
      for (const auto kind : {torch::kFloat, torch::kBFloat16, torch::kHalf})
        for (const bool with_columns : {true, false}) {
          // Without this factor the gradients would exceed the range of fp16.
          const double factor = kind == torch::kHalf ? 0.1 : 1.0;
          auto weights = of_rows.to(torch::kDouble).unsqueeze(1).expand({r, c});
          if (with_columns) weights = weights + of_columns.to(torch::kDouble).unsqueeze(0);
          const auto expected = e * weights * factor;
          auto z = on(device, t.products);
          auto g = kind == torch::kFloat ? z : torch::full({r, c}, 7.0, z.options().dtype(kind));
          at::Tensor positives;
          if (t.pairs.positives > 0 && !t.pairs.drop_positives)
            positives = torch::full({t.pairs.positives}, 7.0, z.options());
          api.gradient(z, kept, scale, t.offset, pairs, on(device, of_rows * factor),
                       with_columns ? on(device, of_columns * factor) : at::Tensor(), positives, g);
          const bool rough = kept.defined() && kept.scalar_type() == torch::kBFloat16;
          const double limit = (kind == torch::kFloat ? 0.0 : test::tolerance(kind) / 4) +
                               (rough ? 1.0 / 256 : 0.0) + float_limit;
          CHECK(close(g, expected.masked_fill(oracle.positive, 0.0), limit));
          if (positives.defined()) {
            CHECK(g.diagonal(t.pairs.diagonal).abs().max().template item<double>() == 0.0);
            const bool exact = pairs.positive_logits.defined() || !rough;
            CHECK(
                close(positives, expected.diagonal(t.pairs.diagonal), exact ? float_limit : limit));
          }
        }

    // The logits of the sigmoid loss have a bias, and it drops no positives.
    if (t.pairs.drop_positives) continue;
    const TileOracle biased(t, -3.0);
    const auto& z64 = biased.logits;
    const auto signed_z = torch::where(biased.positive, -z64, z64);
    const auto count = biased.counts.to(torch::kDouble);
    const double loss_expected =
        (-torch::log_sigmoid(-signed_z) * count).sum().template item<double>();
    const auto g_expected =
        torch::where(biased.positive, -torch::sigmoid(-z64), torch::sigmoid(z64)) * count;
    for (const auto kind : {torch::kUInt8, torch::kFloat, torch::kBFloat16, torch::kHalf}) {
      const double factor = kind == torch::kHalf ? 1024.0 : 1.0;
      auto z = on(device, t.products);
      auto loss = torch::full({}, 2.0, z.options().dtype(torch::kDouble));
      auto bias_gradient = torch::full({}, -1.0, z.options().dtype(torch::kDouble));
      at::Tensor g, positives;
      if (kind == torch::kFloat) g = z;
      if (kind == torch::kBFloat16 || kind == torch::kHalf)
        g = torch::full({r, c}, 7.0, z.options().dtype(kind));
      if (g.defined() && t.pairs.positives > 0)
        positives = torch::full({t.pairs.positives}, 7.0, z.options());
      api.sigmoid(z, scale, on(device, t.bias), pairs, loss, bias_gradient, factor, positives, g);
      CHECK(std::abs(loss.template item<double>() - 2.0 - loss_expected) <=
            1e-6 * std::max(1.0, loss_expected));
      if (!g.defined()) continue;
      const double sum = g_expected.sum().template item<double>();
      CHECK(std::abs(bias_gradient.template item<double>() + 1.0 - sum) <=
            float_limit * g_expected.abs().sum().template item<double>());
      CHECK(close(g, factor * g_expected.masked_fill(biased.positive, 0.0),
                  (kind == torch::kFloat ? 0.0 : test::tolerance(kind) / 4) + float_limit));
      if (positives.defined())
        CHECK(close(positives, g_expected.diagonal(t.pairs.diagonal), float_limit));
    }
  }
}

}  // namespace contrapunto::test
