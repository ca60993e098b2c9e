// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Tests the exactness contract over all combinations of strategies, losses, precisions, ranks,
// sizes and scales.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/feature_distillation.hpp"
#include "contrapunto/loss/interactive_loss.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/negative_queue.hpp"
#include "contrapunto/loss/queued_loss.hpp"
#include "contrapunto/loss/students_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "contrapunto/nn/feature_maps.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/with_feature_maps.hpp"
#include "contrapunto/step/with_students.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "loss/pair_oracle.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using test::Gradients;

namespace {

constexpr std::int64_t kTeacherWidth = 5;

/// Two small towers, scale, bias and maps to the features of a teacher, with the same weights in
/// every call.
struct TwoMlpsImpl : torch::nn::Module {
  explicit TwoMlpsImpl(double initial_scale, std::uint64_t seed = 2, std::int64_t width = 8) {
    torch::manual_seed(seed);
    const auto tower = [&](const char* name) {
      return register_module(name,
                             torch::nn::Sequential(torch::nn::Linear(6, 12), torch::nn::Tanh(),
                                                   torch::nn::Linear(12, width)));
    };
    x = tower("x");
    y = tower("y");
    scale = register_parameter("scale", torch::tensor(initial_scale));
    bias = register_parameter("bias", torch::tensor(-2.0));
    maps = register_module("maps", FeatureMaps(width, std::vector<std::int64_t>{kTeacherWidth}));
  }
  torch::nn::Sequential x{nullptr}, y{nullptr};
  at::Tensor scale, bias;
  FeatureMaps maps{nullptr};
};
TORCH_MODULE(TwoMlps);

StepModel<> step_of(TwoMlps model) {
  const auto encode = [](torch::nn::Sequential tower) {
    return [tower](const at::Tensor& in) mutable -> Features {
      return torch::nn::functional::normalize(
          tower->forward(in).to(tower->parameters().front().scalar_type()));
    };
  };
  StepModel<> step;
  step.encoders = {{"x", encode(model->x)}, {"y", encode(model->y)}};
  step.head = [model](const std::vector<Features>& f, const Batch&) {
    return Embeddings{f[0].tensors[0], f[1].tensors[0], model->scale * 1.0, model->bias * 1.0};
  };
  for (const auto& item : model->named_parameters())
    if (!item.key().starts_with("maps")) step.parameters.push_back(item.value());
  return step;
}

/// A frozen teacher in `dtype`, made before there are threads.
const TwoMlps& teacher_in(at::ScalarType dtype) {
  const auto make = [](at::ScalarType kind) {
    TwoMlps teacher(40.0, 9, kTeacherWidth);
    teacher->to(kind);
    freeze_teacher(*teacher);
    return teacher;
  };
  static const TwoMlps single = make(torch::kFloat), exact = make(torch::kDouble);
  return dtype == torch::kDouble ? exact : single;
}

StepModel<> exchanged(StepModel<> step) {
  step.head = [head = step.head](const std::vector<Features>& f, const Batch& batch) {
    auto e = head(f, batch);
    std::swap(e.x, e.y);
    return e;
  };
  return step;
}

/// The step model that `Loss` needs.
template <class Loss>
auto step_for(const Loss& /*loss*/, const TwoMlps& model) {
  const auto teachers = [&]() -> std::vector<Teacher> {
    return {{.model = step_of(teacher_in(model->scale.scalar_type()))}};
  };
  if constexpr (LossOf<Loss, Embeddings>)
    return step_of(model);
  else if constexpr (LossOf<Loss, DistilledEmbeddings>)
    return with_feature_maps(with_teachers(step_of(model), teachers()), model->maps);
  else  // The second student is the first with its towers exchanged, and shares its weights.
    return with_students({step_of(model), exchanged(step_of(model))}, teachers());
}

Batch batch_of(std::int64_t n, at::ScalarType dtype) {
  torch::manual_seed(5);
  Batch batch;
  batch.tensors = {{"x", torch::randn({n, 6}).to(dtype)}, {"y", torch::randn({n, 6}).to(dtype)}};
  return batch;
}

/// The loss from the full matrix of pairs, as other libraries compute it.
struct NaiveInfoNce {
  at::Tensor operator()(const Embeddings& e) const { return test::dense_symmetric(e); }
};
struct NaiveSigmoid {
  at::Tensor operator()(const Embeddings& e) const { return test::dense_sigmoid(e); }
};
struct NaiveAffinity {
  at::Tensor operator()(const DistilledEmbeddings& e) const {
    const auto logits = [](const Embeddings& of) { return of.scale * of.x.mm(of.y.t()); };
    auto sum = torch::zeros({}, e.student.x.options());
    for (const std::int64_t dim : {0, 1}) {
      const auto soft =
          logits(e.teachers.front()).softmax(dim) * logits(e.student).log_softmax(dim);
      sum = sum - soft.sum() / (2.0 * static_cast<double>(e.student.x.size(0)));
    }
    return sum;
  }
};
struct NaiveDistillation {
  at::Tensor operator()(const DistilledEmbeddings& e) const {
    return NaiveInfoNce()(e.student) + NaiveAffinity()(e);
  }
};
/// InfoNCE with the rows of earlier batches as negatives.
struct NaiveQueue {
  at::Tensor rows;
  at::Tensor operator()(Embeddings e) const {
    e.negatives = rows.to(e.x.scalar_type());
    return test::dense_symmetric(e);
  }
};
/// FeatureDistillation and InteractiveLoss beside InfoNCE, through the maps.
struct NaiveFeatures {
  static constexpr double kWeight = 10.0;
  at::Tensor operator()(const DistilledEmbeddings& e) const {
    const auto& s = e.mapped.front();
    const auto& t = e.teachers.front();
    const auto distance = (s.x - t.x).square().mean() + (s.y - t.y).square().mean();
    const auto match = [&](const at::Tensor& x, const at::Tensor& y) {
      return test::dense_rows({.x = x, .y = y, .scale = s.scale}) / 2;
    };
    return NaiveInfoNce()(e.student) + kWeight * distance + match(s.x, t.y) + match(s.y, t.x);
  }
};
struct NaiveStudents {
  static constexpr double kWeight = 0.5;
  at::Tensor operator()(const std::vector<DistilledEmbeddings>& e) const {
    return NaiveInfoNce()(e[0].student) + kWeight * NaiveAffinity()(e[1]);
  }
};

/// Factor on the loss that keeps gradients within the range of fp16.
constexpr double kLossScale = 2.0;

/// Samples of a chunk of a batch, or of a rank's part of one.
std::int64_t chunk_of(std::int64_t samples) {
  return std::max<std::int64_t>(1, 2 * samples / 7);
}

enum class Strategy { kDirect, kAccumulator, kGradCache, kKeptGraphs };
constexpr auto kStrategies = {Strategy::kDirect, Strategy::kAccumulator, Strategy::kGradCache,
                              Strategy::kKeptGraphs};

/// Gradients of one step without the loss scale. It is the second step, because graphs are kept
/// from then on.
template <class Loss>
Gradients run(Strategy strategy, TwoMlps model, const Loss& loss, const Batch& batch,
              const PrecisionPolicy& precision, const Ranks& ranks = {}) {
  LossScaler scaler(precision, torch::kCPU, {.initial_scale = kLossScale});
  const StepContext context{.precision = precision, .scaler = &scaler, .ranks = ranks};
  const auto chunk = chunk_of(batch.size());
  Gradients gradients;
  const auto twice = [&](auto step) {
    for (int i = 0; i < 2; ++i) {
      step(batch);
      gradients = test::take_gradients(*model);
    }
  };
  switch (strategy) {
    case Strategy::kDirect:
      twice(FullBatch(step_for(loss, model), loss, context));
      break;
    case Strategy::kAccumulator:
      twice(Accumulator(step_for(loss, model), loss, {.micro_batch = chunk}, context));
      break;
    case Strategy::kGradCache:
      twice(GradCache(step_for(loss, model), loss, {.chunk_size = chunk}, context));
      break;
    case Strategy::kKeptGraphs:
      twice(GradCache(step_for(loss, model), loss, {.chunk_size = chunk, .keep_bytes = 1e12},
                      context));
      break;
  }
  if (scaler.enabled())
    for (auto& [_, gradient] : gradients) gradient = gradient / kLossScale;
  return gradients;
}

/// The logit of the only pair, whose gradient InfoNCE adds and subtracts again.
struct LogitOfThePair {
  at::Tensor operator()(const Embeddings& e) const { return (e.scale * e.x * e.y).sum(); }
};
/// The same, with the logits of InteractiveLoss.
struct LogitsOfTheFeatures {
  at::Tensor operator()(const DistilledEmbeddings& e) const {
    const auto& s = e.mapped.front();
    const auto& t = e.teachers.front();
    return LogitOfThePair()(e.student) + (s.scale * (s.x * t.y + s.y * t.x)).sum() / 2;
  }
};

double largest(const Gradients& gradients) {
  double value = 0.0;
  for (const auto& [_, gradient] : gradients)
    value = std::max(value, gradient.abs().max().item<double>());
  return value;
}

/// First sample of each rank's part of a batch of `n`. Each rank has at least one sample, and the
/// last rank has most of them.
std::vector<std::int64_t> rank_bounds(std::int64_t n, std::int64_t ranks) {
  std::vector<std::int64_t> bounds;
  for (std::int64_t r = 0; r <= ranks; ++r)
    bounds.push_back(r + (n - ranks) * r * r / (ranks * ranks));
  return bounds;
}

/// How far apart gradients may be that are sums over the parts `bounds` of the batch, measured as
/// gradient_error does: the gradient of every part is rounded to `dtype` once, and it may be larger
/// than the sum. `exact` is the model in float64.
template <class Loss>
double rounding_of_parts(TwoMlps exact, const Loss& loss, const Batch& batch,
                         const std::vector<std::int64_t>& bounds, const Gradients& expected,
                         at::ScalarType dtype) {
  auto step = step_for(loss, exact);
  const auto features = [&](std::size_t i, std::int64_t begin, std::int64_t count) {
    const auto& encoder = step.encoders[i];
    return encoder.forward(batch.at(encoder.input).narrow(0, begin, count)).tensors.front();
  };
  std::vector<Features> whole;
  for (std::size_t i = 0; i < step.encoders.size(); ++i) {
    const auto one = features(i, 0, batch.size());
    whole.emplace_back(one.detach().set_requires_grad(one.requires_grad()));
  }
  loss(step.head(whole, batch)).backward();
  test::take_gradients(*exact);
  std::vector<double> sizes(expected.size(), 0.0);
  for (std::size_t p = 0; p + 1 < bounds.size(); ++p) {
    const auto count = bounds[p + 1] - bounds[p];
    for (std::size_t i = 0; i < whole.size(); ++i)
      if (const auto& gradient = whole[i].tensors.front().grad(); gradient.defined())
        features(i, bounds[p], count).backward(gradient.narrow(0, bounds[p], count));
    const auto part = test::take_gradients(*exact);
    for (std::size_t g = 0; g < part.size(); ++g)
      sizes[g] += part[g].second.abs().max().item<double>();
  }
  double most = 0.0;
  for (std::size_t g = 0; g < sizes.size(); ++g)
    most = std::max(most, sizes[g] / std::max(0.1 * largest(expected),
                                              expected[g].second.abs().max().item<double>()));
  const double unit_roundoff = (dtype == at::kBFloat16 ? 0x1p-9
                                : dtype == at::kHalf   ? 0x1p-11
                                                       : 0x1p-24);
  return unit_roundoff * most;
}

/// As gradient_error. A single pair has no negatives, so all gradients of InfoNCE are zero.
double distance(const Gradients& result, const Gradients& expected) {
  if (largest(expected) > 0.0) return test::gradient_error(result, expected, 0.1);
  return largest(result);
}

/// The same on ranks with uneven parts of the batch; returns the result that is farthest from
/// `expected`.
template <class MakeLoss>
double worst_on_ranks(std::int64_t ranks, Strategy strategy, double scale,
                      const MakeLoss& make_loss, const Batch& batch,
                      const PrecisionPolicy& precision, const Gradients& expected) {
  std::vector<TwoMlps> models;
  for (std::int64_t r = 0; r < ranks; ++r) models.emplace_back(scale);
  std::vector<Gradients> results(models.size());
  const auto bounds = rank_bounds(batch.size(), ranks);
  test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    const auto part = test::part_of(batch, bounds[r], bounds[r + 1] - bounds[r]);
    results[r] = run(strategy, models[r], make_loss(rank), part, precision, rank);
  });
  std::vector<double> distances;
  for (const auto& result : results) distances.push_back(distance(result, expected));
  // NaN, which compares as false, counts as the worst.
  return *std::max_element(distances.begin(), distances.end(),
                           [](double a, double b) { return std::isnan(b) || a < b; });
}

}  // namespace

TEST_CASE(
    "Every strategy, loss, precision, number of ranks, size and scale gives the gradients "
    "of the full batch",
    "[step][cpu]") {
  std::int64_t checked = 0;
  std::vector<std::int64_t> sizes{1, 2, 127, 1000};
  const auto check_with = [&](const char* name, const auto& naive, const auto& logit,
                              const auto& make_loss) {
    for (const auto* precision_name : {"fp32", "bf16", "fp16"})
      for (const std::int64_t n : sizes)
        for (const double scale : {1.0, 14.3, 100.0}) {
          const auto precision = precision_policy(precision_name);
          TwoMlps exact(scale);
          exact->to(torch::kDouble);
          const auto expected = run(Strategy::kDirect, exact, naive, batch_of(n, torch::kDouble),
                                    precision_policy("fp32"));
          const auto batch = batch_of(n, torch::kFloat);
          TwoMlps model(scale);
          const double yardstick =
              distance(run(Strategy::kDirect, model, naive, batch, precision), expected);
          double bound = std::max(2 * yardstick, test::tolerance(torch::kFloat));
          if (n == 1 && std::string(name) != "sigmoid") {
            // The gradient is (p - 1) times that of the logit, with p = exp(logit - sum). Both
            // terms are float32 numbers of the size of the scale, and each is rounded at most four
            // times: in the product of features, by the scale, and before and after the
            // exponential.
            const double logit_gradient =
                largest(run(Strategy::kDirect, exact, logit, batch_of(n, torch::kDouble),
                            precision_policy("fp32")));
            const double rounded =
                4 * std::numeric_limits<float>::epsilon() * (1.0 + scale) * logit_gradient;
            // Losses with further terms have a gradient, to which distance() is relative.
            const double all = largest(expected);
            bound = all > 0.0 ? std::max(bound, rounded / (0.1 * all)) : rounded;
          }
          CHECK(std::isfinite(bound));
          for (const std::int64_t ranks : {1, 2, 4}) {
            if (ranks > n) continue;
            const auto parts = rank_bounds(n, ranks);
            std::vector<std::int64_t> chunks;
            for (std::size_t r = 0; r + 1 < parts.size(); ++r)
              for (auto c = parts[r]; c < parts[r + 1]; c += chunk_of(parts[r + 1] - parts[r]))
                chunks.push_back(c);
            chunks.push_back(n);
            const auto rounding = [&](const std::vector<std::int64_t>& bounds) {
              return rounding_of_parts(exact, naive, batch_of(n, torch::kDouble), bounds, expected,
                                       precision.product_dtype());
            };
            const double by_rank = n > 1 ? rounding(parts) : 0.0;
            const double by_chunk = n > 1 ? rounding(chunks) : 0.0;
            for (const auto strategy : kStrategies) {
              const double error = worst_on_ranks(
                  ranks, strategy, scale,
                  [&](const test::ThreadRank& rank) { return make_loss(rank, precision); }, batch,
                  precision, expected);
              INFO(name << ", " << precision_name << ", " << n << " pairs, scale " << scale << ", "
                        << ranks << " ranks, strategy " << static_cast<int>(strategy));
              CHECK(error <= bound + (strategy == Strategy::kDirect ? by_rank : by_chunk));
              ++checked;
            }
          }
        }
  };
  const auto check = [&](const char* name, const auto& naive, const auto& make_loss) {
    check_with(name, naive, LogitOfThePair{}, make_loss);
  };
  const auto tiles = [](const PrecisionPolicy& precision) {
    return TileOptions{.rows = 300, .columns = 300, .matmul_dtype = precision.product_dtype()};
  };
  check("InfoNCE", NaiveInfoNce{}, [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
    return TiledInfoNce({.tiles = tiles(p), .ring = rank.size() == 4}, rank);
  });
  check("sigmoid", NaiveSigmoid{}, [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
    return TiledSigmoidLoss({.tiles = tiles(p)}, rank);
  });
  check(
      "distillation", NaiveDistillation{},
      [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
        const bool ring = rank.size() == 4;
        return LossSum(
            WeightedLoss{"contrastive", 1.0, TiledInfoNce({.tiles = tiles(p), .ring = ring}, rank)},
            WeightedLoss{"affinity", 1.0, AffinityLoss({.tiles = tiles(p), .ring = ring}, rank)});
      });
  sizes = {1, 2, 127};  // The losses above are parts of those below.
  torch::manual_seed(6);
  const auto rows = torch::nn::functional::normalize(torch::randn({40, 8}));
  check("queue", NaiveQueue{rows}, [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
    NegativeQueue queue({.pairs = 40}, rank);
    queue.load_state({.tensors = {{"y", rows}}});
    return QueuedLoss(TiledInfoNce({.tiles = tiles(p), .ring = rank.size() == 4}, rank), queue);
  });
  check_with("features", NaiveFeatures{}, LogitsOfTheFeatures{},
             [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
               const bool ring = rank.size() == 4;
               return LossSum(
                   WeightedLoss{"contrastive", 1.0, TiledInfoNce({.tiles = tiles(p)}, rank)},
                   WeightedLoss{"features", NaiveFeatures::kWeight, FeatureDistillation(rank)},
                   WeightedLoss{"interactive", 1.0,
                                InteractiveLoss({.tiles = tiles(p), .ring = ring}, rank)});
             });
  check("students", NaiveStudents{}, [&](const test::ThreadRank& rank, const PrecisionPolicy& p) {
    return StudentsLoss(
        WeightedLoss{"first", 1.0, TiledInfoNce({.tiles = tiles(p)}, rank)},
        WeightedLoss{"second", NaiveStudents::kWeight, AffinityLoss({.tiles = tiles(p)}, rank)});
  });
  CHECK(checked == 1620);
}

TEST_CASE("32,768 pairs on two ranks give the gradient of the full batch", "[step][cpu]") {
  constexpr std::int64_t kPairs = 32'768;
  constexpr double kScale = 14.3;
  const auto precision = precision_policy("fp32");

  // The full batch by the formulas, a strip of the matrix at a time, in the dtype of the model.
  const auto by_formulas = [&](const TwoMlps& model, at::ScalarType dtype) {
    const auto batch = batch_of(kPairs, dtype);
    const auto step = step_of(model);
    const auto x = step.encoders[0].forward(batch.at("x")).tensors.front();
    const auto y = step.encoders[1].forward(batch.at("y")).tensors.front();
    auto dx = torch::zeros_like(x), dy = torch::zeros_like(y);
    {
      const torch::NoGradGuard no_grad;
      constexpr std::int64_t kStrip = 1024;
      const auto strip = [&](std::int64_t i) {  // exp(logits), at most e^14.3
        return x.narrow(0, i, kStrip).mm(y.t()).mul_(kScale).exp_();
      };
      auto rows = torch::zeros({kPairs}, dtype), columns = torch::zeros_like(rows);
      for (std::int64_t i = 0; i < kPairs; i += kStrip) {
        const auto e = strip(i);
        rows.narrow(0, i, kStrip).copy_(e.sum(1));
        columns.add_(e.sum(0));
      }
      for (std::int64_t i = 0; i < kPairs; i += kStrip) {
        auto e = strip(i);
        e.mul_(rows.narrow(0, i, kStrip).reciprocal().unsqueeze(1) + columns.reciprocal());
        dx.narrow(0, i, kStrip).copy_(e.mm(y));
        dy.add_(e.t().mm(x.narrow(0, i, kStrip)));
      }
      dx.sub_(2 * y).mul_(kScale / (2 * kPairs));
      dy.sub_(2 * x).mul_(kScale / (2 * kPairs));
      model->scale.mutable_grad() = (dx * x).sum() / kScale;
    }
    torch::autograd::backward({x, y}, {dx, dy});
    return test::take_gradients(*TwoMlps(model));
  };
  TwoMlps exact(kScale);
  exact->to(torch::kDouble);
  const auto expected = by_formulas(exact, torch::kDouble);
  // Float32 sums of tens of thousands of terms round, and how much depends on how the processor's
  // matrix product orders them: the same formulas in float32 say how much on this one.
  const double yardstick = distance(by_formulas(TwoMlps(kScale), torch::kFloat), expected);

  const double error = worst_on_ranks(
      2, Strategy::kGradCache, kScale,
      [](const test::ThreadRank& rank) { return TiledInfoNce({}, rank); },
      batch_of(kPairs, torch::kFloat), precision, expected);
  INFO("the formulas in float32 are off by " << yardstick);
  CHECK(error <= std::max(2 * yardstick, test::tolerance(torch::kFloat)));
}
