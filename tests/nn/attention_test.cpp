// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/nn/attention.hpp"

#include <cmath>
#include <functional>

#include "contrapunto/autograd/memory_meter.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

constexpr std::int64_t kWidth = 24, kHeads = 3, kHead = 8;

/// Row and column of token `i` of a grid, or nothing for a prefix token.
struct Place {
  bool prefix;
  std::int64_t row, column;
};

Place place(const TokenGrid& grid, std::int64_t i) {
  if (i < grid.prefix) return {true, 0, 0};
  return {false, (i - grid.prefix) / grid.columns, (i - grid.prefix) % grid.columns};
}

/// Whether two tokens meet, with everything about windows written out.
bool meets(const TokenGrid& grid, const AttentionKind& kind, std::int64_t i, std::int64_t j) {
  const auto a = place(grid, i), b = place(grid, j);
  if (kind.pattern != AttentionPattern::kWindow || a.prefix || b.prefix) return true;
  const auto same = [&](std::int64_t x, std::int64_t y, std::int64_t size) {
    const auto side = std::min(kind.window, size);
    const auto windows = (size + side - 1) / side;
    const auto shift = kind.shifted && windows > 1 ? side / 2 : 0;
    // The first `shift` rows form a window of their own, and windows follow every `side` rows.
    const auto window = [&](std::int64_t at) { return at < shift ? -1 : (at - shift) / side; };
    return window(x) == window(y);
  };
  return same(a.row, b.row, grid.rows) && same(a.column, b.column, grid.columns);
}

/// Turns the pairs of `x` [head] by angles that are written out.
at::Tensor turned(const at::Tensor& x, const RotaryOptions& o, const at::Tensor& frequencies,
                  const TokenGrid& grid, const Place& at, std::int64_t head) {
  if (at.prefix) return x;
  std::vector<at::Tensor> numbers;
  const auto scaled = [&](std::int64_t index, std::int64_t size) {
    const double unit =
        o.trained_side > 0 ? static_cast<double>(o.trained_side) / static_cast<double>(size) : 1.0;
    return (static_cast<double>(index) + o.offset) * unit;
  };
  const double row = scaled(at.row, grid.rows), column = scaled(at.column, grid.columns);
  for (std::int64_t p = 0; p < kHead / 2; ++p) {
    at::Tensor angle;
    if (o.kind == RotaryKind::kMixed) {
      angle = column * frequencies[0][head][p] + row * frequencies[1][head][p];
    } else {
      const auto quarter = kHead / 4;
      const double rate = std::pow(o.temperature, -4.0 * static_cast<double>(p % quarter) / kHead);
      const bool by_column = (p < quarter) == o.columns_first;
      angle = torch::tensor((by_column ? column : row) * rate, at::kDouble);
    }
    const auto real = x[2 * p], imaginary = x[2 * p + 1];
    numbers.push_back(real * angle.cos() - imaginary * angle.sin());
    numbers.push_back(real * angle.sin() + imaginary * angle.cos());
  }
  return torch::stack(numbers);
}

/// The bias of a pair of tokens and a head, from the table or the network, entry by entry.
at::Tensor pair_bias(const RelativeBias& bias, const TokenGrid& grid, std::int64_t i,
                     std::int64_t j, std::int64_t head) {
  const auto& o = bias->options();
  const auto a = place(grid, i), b = place(grid, j);
  const auto cells = (2 * o.rows - 1) * (2 * o.columns - 1);
  const bool table = o.kind == RelativeBiasKind::kTable;
  if (a.prefix || b.prefix) {
    if (!table) return torch::zeros({}, at::kDouble);
    return bias->table[cells + (a.prefix && b.prefix ? 2 : a.prefix ? 0 : 1)][head];
  }
  const auto down = a.row - b.row, across = a.column - b.column;
  if (table)
    return bias->table[(down + o.rows - 1) * (2 * o.columns - 1) + across + o.columns - 1][head];
  const auto log_distance = [&](std::int64_t d, std::int64_t size) {
    const auto unit = o.trained_side > 0 ? o.trained_side : size;
    const double x = 8.0 * static_cast<double>(d) / static_cast<double>(unit - 1);
    return (x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0) * std::log2(1.0 + std::abs(x)) / std::log2(8.0);
  };
  const auto in =
      torch::tensor({log_distance(down, o.rows), log_distance(across, o.columns)}, at::kDouble);
  const auto hidden = torch::relu(bias->fc1->weight.mv(in) + bias->fc1->bias);
  return 16 * torch::sigmoid(bias->fc2->weight.mv(hidden))[head];
}

at::Tensor norm(const LayerNorm& layer, const at::Tensor& x) {
  const auto centered = x - x.mean();
  return centered / (centered.square().mean() + 1e-5).sqrt() * layer->weight + layer->bias;
}

at::Tensor features(AttentionPattern pattern, const at::Tensor& x) {
  if (pattern == AttentionPattern::kLinear) return torch::where(x > 0, x + 1, x.exp());
  const auto positive = x.clamp_min(0) + 1e-6;
  return positive.pow(3) * positive.square().sum().sqrt() / positive.pow(6).sum().sqrt();
}

/// The whole layer in loops over sequences, heads, queries and keys.
at::Tensor naive(const Attention& attn, const at::Tensor& x, const TokenGrid& grid) {
  const auto& o = attn->options();
  const auto length = grid.length();
  at::Tensor bias = torch::zeros({3 * kWidth}, at::kDouble);
  if (attn->in_proj_bias.defined()) bias = attn->in_proj_bias;
  if (attn->q_bias.defined())
    bias = torch::cat({attn->q_bias, torch::zeros({kWidth}, at::kDouble), attn->v_bias});
  const auto qkv =
      (x.mm(attn->in_proj_weight.t()) + bias).view({grid.batch, length, 3, kHeads, kHead});
  std::vector<at::Tensor> out;
  for (std::int64_t b = 0; b < grid.batch; ++b) {
    std::vector<at::Tensor> q, k, v;  // By head and token.
    for (std::int64_t h = 0; h < kHeads; ++h)
      for (std::int64_t i = 0; i < length; ++i) {
        auto query = qkv[b][i][0][h], key = qkv[b][i][1][h];
        if (attn->q_norm) query = norm(attn->q_norm, query), key = norm(attn->k_norm, key);
        if (attn->rotary) {
          query = turned(query, o.rotary, attn->rotary->frequencies, grid, place(grid, i), h);
          key = turned(key, o.rotary, attn->rotary->frequencies, grid, place(grid, i), h);
        }
        q.push_back(query), k.push_back(key), v.push_back(qkv[b][i][2][h]);
      }
    for (std::int64_t i = 0; i < length; ++i) {
      std::vector<at::Tensor> heads;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const auto of = [&](const std::vector<at::Tensor>& list, std::int64_t j) {
          return list[static_cast<std::size_t>(h * length + j)];
        };
        at::Tensor sum = torch::zeros({kHead}, at::kDouble), total = torch::zeros({}, at::kDouble);
        const bool softmax = o.kind.pattern == AttentionPattern::kGlobal ||
                             o.kind.pattern == AttentionPattern::kWindow;
        for (std::int64_t j = 0; j < length; ++j) {
          if (!meets(grid, o.kind, i, j)) continue;
          at::Tensor weight;
          if (softmax) {
            weight = of(q, i).dot(of(k, j)) / std::sqrt(static_cast<double>(kHead));
            if (attn->relative_bias)
              weight = weight + pair_bias(attn->relative_bias, grid, i, j, h);
            weight = weight.exp();
          } else {
            weight = features(o.kind.pattern, of(q, i)).dot(features(o.kind.pattern, of(k, j)));
          }
          sum = sum + weight * of(v, j);
          total = total + weight;
        }
        if (!softmax) total = total + 1e-6 * static_cast<double>(length);
        auto result = sum / total;
        if (const auto at = place(grid, i);
            o.kind.pattern == AttentionPattern::kFocused && !at.prefix) {
          result = result + attn->depthwise_bias;
          for (std::int64_t r = -2; r <= 2; ++r)
            for (std::int64_t c = -2; c <= 2; ++c) {
              const auto row = at.row + r, column = at.column + c;
              if (row < 0 || row >= grid.rows || column < 0 || column >= grid.columns) continue;
              result =
                  result + attn->depthwise_weight.select(3, c + 2).select(2, r + 2).squeeze(1) *
                               of(v, grid.prefix + row * grid.columns + column);
            }
        }
        heads.push_back(result);
      }
      out.push_back(torch::cat(heads));
    }
  }
  auto mixed = torch::stack(out);
  if (attn->norm) {
    std::vector<at::Tensor> rows;
    for (const auto& row : mixed.unbind()) rows.push_back(norm(attn->norm, row));
    mixed = torch::stack(rows);
  }
  return mixed.mm(attn->out_proj->weight.t()) + attn->out_proj->bias;
}

/// Compares outputs and the gradients of the input and of every parameter with the loops.
void check_against_loops(AttentionOptions options, const TokenGrid& grid) {
  options.width = kWidth, options.heads = kHeads;
  Attention attn(options, at::dtype(at::kDouble));
  for (auto& parameter : attn->parameters())
    if (parameter.dim() == 1) torch::nn::init::normal_(parameter, 0.5, 0.5);
  const auto x = torch::randn({grid.batch * grid.length(), kWidth}, at::kDouble).requires_grad_();
  const auto result = attn(x, grid), expected = naive(attn, x, grid);
  CHECK(test::close(result, expected, 10));
  auto inputs = attn->parameters();
  inputs.push_back(x);
  const auto factors = torch::randn(expected.sizes(), at::kDouble);
  const auto ours = torch::autograd::grad({(result * factors).sum()}, inputs);
  const auto theirs = torch::autograd::grad({(expected * factors).sum()}, inputs);
  // Relative to all gradients: that of a bias of the keys is 0 up to rounding.
  double largest = 0.0;
  for (const auto& gradient : theirs)
    largest = std::max(largest, gradient.abs().max().item<double>());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    CHECK((ours[i] - theirs[i]).abs().max().item<double>() <
          1000 * test::tolerance(at::kDouble) * largest);
  const auto rows = torch::arange(grid.batch) * grid.length();
  CHECK(test::close(attn->forward_once(x, grid, rows), expected.index_select(0, rows), 10));
}

AttentionKind window(std::int64_t side, bool shifted) {
  return {AttentionPattern::kWindow, side, shifted};
}

}  // namespace

TEST_CASE("Windows equal loops with the mask written out", "[nn][cpu]") {
  torch::manual_seed(1);
  // Sides that divide the plane or not, that span it in one direction or both, and a text-like row.
  const TokenGrid grids[] = {{2, 4, 6, 0}, {2, 5, 7, 1}, {1, 3, 8, 2}, {2, 1, 7, 1}};
  for (const auto& grid : grids)
    for (const std::int64_t side : {2, 3, 8})
      for (const bool shifted : {false, true}) {
        CAPTURE(grid.rows, grid.columns, grid.prefix, side, shifted);
        check_against_loops({.kind = window(side, shifted)}, grid);
      }
}

TEST_CASE("A relative bias equals loops, globally and in windows", "[nn][cpu]") {
  torch::manual_seed(2);
  for (const auto kind : {RelativeBiasKind::kTable, RelativeBiasKind::kContinuous})
    for (const std::int64_t prefix : {0, 2}) {
      CAPTURE(static_cast<int>(kind), prefix);
      const TokenGrid grid{2, 3, 5, prefix};
      const RelativeBiasOptions bias{
          .kind = kind, .rows = 3, .columns = 5, .prefix = prefix, .hidden = 6};
      check_against_loops({.relative_bias = bias}, grid);
      check_against_loops({.kind = window(2, false), .relative_bias = bias}, grid);
      check_against_loops({.kind = window(2, true), .relative_bias = bias}, grid);
    }
}

TEST_CASE("Rotary embeddings equal loops, in every attention", "[nn][cpu]") {
  torch::manual_seed(3);
  const TokenGrid grid{2, 3, 4, 1};
  for (const auto& rotary :
       {RotaryOptions{.kind = RotaryKind::kAxial, .trained_side = 2, .columns_first = false},
        RotaryOptions{.kind = RotaryKind::kAxial, .temperature = 100.0, .offset = 1.0},
        RotaryOptions{.kind = RotaryKind::kMixed, .temperature = 10.0}})
    for (const auto& kind :
         {AttentionKind{}, window(2, true), AttentionKind{AttentionPattern::kLinear}})
      check_against_loops({.kind = kind, .rotary = rotary}, grid);
}

TEST_CASE("Linear and focused attention equal loops over pairs", "[nn][cpu]") {
  torch::manual_seed(4);
  for (const auto pattern : {AttentionPattern::kLinear, AttentionPattern::kFocused})
    for (const std::int64_t prefix : {0, 2})
      check_against_loops({.kind = {pattern}}, {2, 3, 4, prefix});
}

TEST_CASE("Norms and missing biases equal loops", "[nn][cpu]") {
  torch::manual_seed(5);
  const TokenGrid grid{2, 3, 3, 1};
  check_against_loops({.qk_norm = true}, grid);
  check_against_loops({.kind = window(2, true), .qk_norm = true, .output_norm = true}, grid);
  check_against_loops({.bias = AttentionBias::kNoKeys, .output_norm = true}, grid);
  check_against_loops({.bias = AttentionBias::kNone}, grid);
  Attention attn(
      AttentionOptions{.width = kWidth, .heads = kHeads, .bias = AttentionBias::kNoKeys});
  CHECK(attn->named_parameters().find("q_bias") != nullptr);
  CHECK(attn->named_parameters().find("in_proj_bias") == nullptr);
}

TEST_CASE("Sixteen-bit attention stays within the rounding of its inputs", "[nn][cpu]") {
  torch::manual_seed(6);
  const TokenGrid grid{2, 5, 5, 1};
  const RotaryOptions rotary{.kind = RotaryKind::kAxial};
  for (const auto& kind :
       {AttentionKind{}, window(2, true), AttentionKind{AttentionPattern::kLinear},
        AttentionKind{AttentionPattern::kFocused}}) {
    Attention attn(
        AttentionOptions{.width = kWidth, .heads = kHeads, .kind = kind, .rotary = rotary});
    const auto x = torch::randn({2 * 26, kWidth}).to(at::kBFloat16);
    attn->to(at::kBFloat16);
    const auto result = attn(x, grid);
    CHECK(result.scalar_type() == at::kBFloat16);
    attn->to(at::kDouble);
    CHECK(test::close(result, attn(x.to(at::kDouble), grid), 3));
  }
}

TEST_CASE("Memory of windows and of linear attention is linear in tokens", "[nn][cpu]") {
  torch::manual_seed(7);
  for (const auto& kind :
       {window(4, false), window(4, true), AttentionKind{AttentionPattern::kLinear},
        AttentionKind{AttentionPattern::kFocused}}) {
    Attention attn(AttentionOptions{.width = 32, .heads = 2, .kind = kind});
    const auto peak = [&](std::int64_t side) {
      const TokenGrid grid{1, side, side, 1};
      const auto x = torch::randn({grid.length(), 32}).requires_grad_();
      const MemoryMeter meter;
      attn(x, grid).sum().backward();
      return static_cast<double>(meter.peak_bytes());
    };
    peak(8);  // Allocates the gradients of the weights.
    const double small = peak(30), large = peak(60);
    CHECK(large / small < 4.0 * (1 + 1.0 / 30) * (1 + 1.0 / 30));
    CHECK(large / small > 3.0);
  }
}

TEST_CASE("Multiply-adds of windows count the pairs that meet", "[nn][cpu]") {
  const TokenGrid grid{3, 4, 6, 1};
  Attention attn(AttentionOptions{.width = kWidth, .heads = kHeads, .kind = window(2, false)});
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < grid.length(); ++i)
    for (std::int64_t j = 0; j < grid.length(); ++j) pairs += meets(grid, window(2, false), i, j);
  CHECK(attn->cost(grid).macs ==
        Approx(3.0 * (25 * 4 * kWidth * kWidth + 2 * kWidth * static_cast<double>(pairs))));
  Attention linear(
      AttentionOptions{.width = kWidth, .heads = kHeads, .kind = {AttentionPattern::kLinear}});
  CHECK(linear->cost(grid).macs == Approx(3.0 * 25 * kWidth * (4 * kWidth + 2 * kHead)));
}

TEST_CASE("Attention refuses options that do not go together", "[nn][cpu]") {
  const auto make = [](AttentionOptions options) { Attention{options}; };
  CHECK(test::raises([&] { make({.causal = true, .kind = window(2, false)}); },
                     {"causal attention must be global"}));
  CHECK(test::raises(
      [&] {
        make({.kind = {AttentionPattern::kWindow, 0}});
      },
      {"window (0) must be positive"}));
  CHECK(test::raises(
      [&] {
        make({.kind = {AttentionPattern::kLinear},
              .relative_bias = {.kind = RelativeBiasKind::kTable}});
      },
      {"no scores"}));
  CHECK(test::raises([&] { make({.head_width = 6, .rotary = {.kind = RotaryKind::kAxial}}); },
                     {"multiple of 4"}));
  CHECK(test::raises(
      [] {
        static_cast<void>(RelativeBiasImpl::resize_table(torch::zeros({24, 2}), 3, 3, 2, 4));
      },
      {"of a plane of 3 x 3"}));
}

TEST_CASE("A relative bias is resized to another plane", "[nn][cpu]") {
  torch::manual_seed(31);
  for (const auto kind : {RelativeBiasKind::kTable, RelativeBiasKind::kContinuous}) {
    CAPTURE(static_cast<int>(kind));
    // The network has one unit of distance for both sides, so its first plane is square.
    const std::int64_t columns = kind == RelativeBiasKind::kTable ? 4 : 3;
    RelativeBias bias(
        RelativeBiasOptions{.kind = kind, .heads = 2, .rows = 3, .columns = columns, .prefix = 1});
    const auto before = bias();
    const auto other = bias->of_plane(5, 2);
    CHECK(other.sizes() == at::IntArrayRef({2, 11, 11}));
    CHECK(at::equal(bias(), before));
    // It is that of a bias which is resized for good.
    const auto weights = bias->parameters();
    auto gradients = torch::autograd::grad({other.square().sum()}, weights);
    for (const auto& gradient : gradients) CHECK(gradient.abs().sum().item<double>() > 0.0);
    bias->resize(5, 2);
    CHECK(test::close(other, bias()));
  }
}
