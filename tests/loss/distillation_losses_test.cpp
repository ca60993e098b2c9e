// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/feature_distillation.hpp"
#include "contrapunto/loss/interactive_loss.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/sigmoid_distillation.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "loss/on_device.hpp"
#include "loss/pair_oracle.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

const TileOptions kSmallTiles{.rows = 32, .columns = 48};

/// Features in which matching pairs are more similar than others.
Embeddings pairs(std::int64_t n, double scale, std::int64_t width = 24, int seed = 0,
                 double likeness = 0.3) {
  torch::manual_seed(100 * n + seed);
  const auto x = test::unit_rows(n, width);
  const auto y = likeness * x + (1 - likeness) * test::unit_rows(n, width);
  return {x, y / y.norm(2, {1}, true), torch::tensor(scale, torch::kDouble)};
}

/// Teachers of other widths and scales than the student.
std::vector<Embeddings> teachers_of(std::int64_t n, std::size_t count, double scale) {
  std::vector<Embeddings> teachers;
  for (std::size_t k = 0; k < count; ++k)
    teachers.push_back(pairs(n, scale * (1.0 + 0.5 * static_cast<double>(k)),
                             17 + 8 * static_cast<std::int64_t>(k), static_cast<int>(k) + 1, 0.5));
  return teachers;
}

Embeddings cast(const Embeddings& e, at::ScalarType dtype) {
  return {e.x.to(dtype), e.y.to(dtype), e.scale.to(dtype)};
}

/// The teachers' rows of the pairs of `rank`, as evaluate_on_ranks() divides the student's.
std::vector<Embeddings> on_rank_of(std::vector<Embeddings> teachers, const test::ThreadRank& rank) {
  for (auto& e : teachers) {
    e.x = test::part_of_rank(e.x, rank);
    e.y = test::part_of_rank(e.y, rank);
  }
  return teachers;
}

struct Dense {
  at::Tensor cross_entropy, entropy;
};

/// The definition, from whole matrices. `weights` sum to 1.
Dense dense(const Embeddings& student, const std::vector<Embeddings>& teachers,
            const std::vector<double>& weights) {
  const auto logits = [](const Embeddings& e) { return e.scale * e.x.mm(e.y.t()); };
  Dense result{at::zeros({}, student.x.options()), at::zeros({}, student.x.options())};
  for (const std::int64_t dim : {0, 1}) {
    at::Tensor targets;
    for (std::size_t k = 0; k < teachers.size(); ++k) {
      const auto t = cast(teachers[k], student.x.scalar_type());
      const auto one = weights[k] * logits(t).softmax(dim);
      targets = targets.defined() ? targets + one : one;
    }
    const auto n = static_cast<double>(student.x.size(0));
    result.cross_entropy =
        result.cross_entropy - (targets * logits(student).log_softmax(dim)).sum() / (2 * n);
    result.entropy = result.entropy - at::xlogy(targets, targets).sum() / (2 * n);
  }
  return result;
}

std::vector<double> equal_weights(std::size_t count) {
  return std::vector<double>(count, 1.0 / static_cast<double>(count));
}

/// A loss of the student alone, for the functions of pair_oracle.hpp.
auto with_teachers(const AffinityLoss& loss, const std::vector<Embeddings>& teachers) {
  return [loss, teachers](const Embeddings& e) { return loss({e, teachers}).total; };
}

/// The error of `loss` in `dtype` is at most that of the dense loss in it, plus the rounding of
/// logits.
void check_against_dense(const AffinityLossOptions& options, const Embeddings& student,
                         const std::vector<Embeddings>& teachers,
                         const std::vector<double>& weights, at::ScalarType dtype) {
  std::vector<Embeddings> rounded;
  double largest_scale = student.scale.item<double>();
  for (const auto& teacher : teachers) {
    rounded.push_back(cast(teacher, dtype));
    largest_scale = std::max(largest_scale, teacher.scale.item<double>());
  }
  const auto e = test::leaves(student, dtype);
  const auto naive_loss = [&](const Embeddings& s) {
    const auto d = dense(s, rounded, weights);
    return options.subtract_entropy ? d.cross_entropy - d.entropy : d.cross_entropy;
  };
  const auto expected = test::evaluate(naive_loss, e, torch::kDouble);
  const double floor = student.scale.item<double>() / static_cast<double>(student.x.size(0));
  const double naive = test::worst_error(test::evaluate(naive_loss, e, dtype), expected, floor);
  const auto result = test::evaluate(with_teachers(AffinityLoss(options), rounded), e, dtype);
  const double error = test::worst_error(result, expected, floor);
  INFO("n " << student.x.size(0) << ", scale " << student.scale.item<double>() << ", " << dtype
            << ", " << teachers.size() << " teachers: error " << error << ", naive " << naive);
  // Each logit is rounded in its product and by the scale, and so are the log-sum-exps.
  const double logit =
      dtype == torch::kDouble ? 0.0 : 4 * std::numeric_limits<float>::epsilon() * largest_scale;
  CHECK(error <=
        1.2 * naive + logit + 2 * test::tolerance(dtype == torch::kDouble ? dtype : torch::kFloat));
}

}  // namespace

TEST_CASE("Affinity mimicking equals its definition at every size, scale and dtype",
          "[loss][cpu]") {
  for (const std::int64_t n : {1, 2, 127, 400})
    for (const double scale : {1.0, 14.3, 100.0})
      for (const std::size_t count : {1, 2, 3})
        for (const auto dtype : {torch::kDouble, torch::kFloat, torch::kBFloat16})
          check_against_dense({.tiles = kSmallTiles}, pairs(n, scale), teachers_of(n, count, 40.0),
                              equal_weights(count), dtype);
}

TEST_CASE("Scales and weights of the teachers are those that the options name", "[loss][cpu]") {
  const auto student = pairs(60, 20.0);
  const auto teachers = teachers_of(60, 2, 30.0);
  const auto value = [&](const AffinityLossOptions& options) {
    return test::evaluate(with_teachers(AffinityLoss(options), teachers), student, torch::kDouble);
  };
  const auto expected = [&](double student_scale, std::vector<double> scales,
                            const std::vector<double>& weights) {
    auto s = student;
    s.scale = torch::tensor(student_scale, torch::kDouble);
    auto t = teachers;
    for (std::size_t k = 0; k < 2; ++k) t[k].scale = torch::tensor(scales[k], torch::kDouble);
    return dense(s, t, weights).cross_entropy.item<double>();
  };
  CHECK(value({}).value == Approx(expected(20, {30, 45}, {0.5, 0.5})).epsilon(1e-12));
  CHECK(value({.teacher_scales = {70, 60}}).value ==
        Approx(expected(20, {70, 60}, {0.5, 0.5})).epsilon(1e-12));
  CHECK(value({.share_student_scale = true}).value ==
        Approx(expected(20, {20, 20}, {0.5, 0.5})).epsilon(1e-12));
  CHECK(value({.teacher_weights = {3, 1}}).value ==
        Approx(expected(20, {30, 45}, {0.75, 0.25})).epsilon(1e-12));
  const auto fixed = value({.student_scale = 50.0, .teacher_scales = {50, 50}});
  CHECK(fixed.value == Approx(expected(50, {50, 50}, {0.5, 0.5})).epsilon(1e-12));
  CHECK(fixed.gradients[2].item<double>() == 0.0);  // The student's own scale is not used.
  check_against_dense({.tiles = kSmallTiles, .teacher_weights = {3, 1}}, student, teachers,
                      {0.75, 0.25}, torch::kFloat);
  // The teachers get no gradient, although their features and scales could take one.
  const auto shared = test::leaves(student, torch::kDouble);
  const auto teacher = test::leaves(teachers[0], torch::kDouble);
  AffinityLoss({.share_student_scale = true})({shared, {teacher}}).total.backward();
  CHECK_FALSE(teacher.x.grad().defined());
  CHECK_FALSE(teacher.scale.grad().defined());
}

TEST_CASE("A student that equals its teacher has divergence and gradient zero", "[loss][cpu]") {
  for (const double scale : {1.0, 50.0}) {
    const auto e = pairs(90, scale);
    for (const auto dtype : {torch::kDouble, torch::kFloat}) {
      const auto same = test::leaves(e, dtype);
      const auto teacher = cast(e, dtype);
      const AffinityLoss loss({.tiles = kSmallTiles, .subtract_entropy = true});
      const auto result = test::evaluate(with_teachers(loss, {teacher}), same, dtype);
      const double rounding = (dtype == torch::kDouble ? std::numeric_limits<double>::epsilon()
                                                       : std::numeric_limits<float>::epsilon());
      CHECK(std::abs(result.value) <= 8 * rounding * scale);
      for (const auto& gradient : result.gradients)
        CHECK(gradient.abs().max().item<double>() <= 8 * rounding * scale);
      const auto terms = loss({same, {teacher}});
      REQUIRE(terms.parts.size() == 2);
      CHECK(terms.parts[0].first == "cross_entropy");
      CHECK(terms.parts[1].first == "target_entropy");
      CHECK(terms.parts[1].second.item<double>() ==
            Approx(dense(e, {e}, {1.0}).entropy.item<double>()).epsilon(1e-5));
    }
  }
  check_against_dense({.tiles = kSmallTiles, .subtract_entropy = true}, pairs(100, 14.3),
                      teachers_of(100, 2, 40.0), {0.5, 0.5}, torch::kDouble);
}

TEST_CASE("The published form of one teacher is half the sum of both soft cross-entropies",
          "[loss][cpu]") {
  // By loops, as in open_clip's DistillClipLoss: -sum softmax(teacher) * log_softmax(student).
  const auto s = pairs(7, 9.0), t = pairs(7, 30.0, 11, 5);
  const auto direction = [](const Embeddings& student, const Embeddings& teacher, bool turned) {
    const auto z = [turned](const Embeddings& e, std::int64_t i, std::int64_t j) {
      return turned ? test::logit(e, j, i) : test::logit(e, i, j);
    };
    double sum = 0.0;
    for (std::int64_t i = 0; i < 7; ++i) {
      double ours = 0.0, theirs = 0.0;
      for (std::int64_t j = 0; j < 7; ++j) {
        ours += std::exp(z(student, i, j));
        theirs += std::exp(z(teacher, i, j));
      }
      for (std::int64_t j = 0; j < 7; ++j)
        sum -= std::exp(z(teacher, i, j)) / theirs * (z(student, i, j) - std::log(ours));
    }
    return sum / 7;
  };
  const double expected = (direction(s, t, false) + direction(s, t, true)) / 2;
  CHECK(AffinityLoss()({s, {t}}).total.item<double>() == Approx(expected).epsilon(1e-12));
}

TEST_CASE("Sigmoid distillation is the binary cross-entropy with soft targets", "[loss][cpu]") {
  const auto with_bias = [](Embeddings e, double bias) {
    e.bias = torch::tensor(bias, torch::kDouble);
    return e;
  };
  const auto naive = [](const Embeddings& s, const std::vector<Embeddings>& teachers) {
    at::Tensor q;
    for (const auto& t : teachers) {
      const auto one = torch::sigmoid(t.scale * t.x.mm(t.y.t()) + *t.bias).to(s.x.scalar_type()) /
                       static_cast<double>(teachers.size());
      q = q.defined() ? q + one : one;
    }
    const auto l = s.scale * s.x.mm(s.y.t()) + *s.bias;
    const auto terms = q * torch::log_sigmoid(l) + (1 - q) * torch::log_sigmoid(-l);
    return -terms.sum() / static_cast<double>(s.x.size(0));
  };
  for (const std::int64_t n : {1, 2, 127})
    for (const std::size_t count : {1, 2}) {
      auto student = with_bias(pairs(n, 14.3), -5.0);
      auto teachers = teachers_of(n, count, 40.0);
      for (auto& teacher : teachers) teacher = with_bias(teacher, -12.0);
      const auto expected = test::evaluate([&](const Embeddings& e) { return naive(e, teachers); },
                                           student, torch::kDouble);
      REQUIRE(expected.gradients.size() == 4);  // x, y, scale and bias
      for (const auto dtype : {torch::kDouble, torch::kFloat}) {
        const auto loss = [&](const Embeddings& e) {
          return SigmoidDistillation({.tiles = kSmallTiles})({e, teachers}).total;
        };
        // A logit is rounded by 40 * 2^-24 in its product and by the scale, and sums over n pairs.
        const double bound = dtype == torch::kDouble ? 1e-12 : 1e-5;
        CHECK(test::worst_error(test::evaluate(loss, student, dtype), expected,
                                14.3 / static_cast<double>(n)) < bound);
      }
      for (const std::int64_t ranks : {2, 3})
        for (const bool ring : {false, true}) {
          const auto on_rank = [&](const test::ThreadRank& rank) {
            return [loss = SigmoidDistillation({.tiles = kSmallTiles, .ring = ring}, rank),
                    mine = on_rank_of(teachers, rank)](const Embeddings& e) {
              return loss({e, mine}).total;
            };
          };
          CHECK(test::worst_error(test::evaluate_on_ranks(on_rank, student, ranks), expected,
                                  14.3 / static_cast<double>(n)) < 1e-11);
        }
    }
  // A student that equals its teacher.
  const auto same = with_bias(pairs(50, 14.3), -5.0);
  const SigmoidDistillation loss({.subtract_entropy = true});
  const auto result = test::evaluate(
      [&](const Embeddings& e) {
        return loss({e, {same}}).total;
      },
      same, torch::kDouble);
  CHECK(std::abs(result.value) < 1e-12);
  for (const auto& gradient : result.gradients) CHECK(gradient.abs().max().item<double>() < 1e-12);
  CHECK_THROWS_WITH(loss({pairs(4, 1.0), {same}}), Contains("the student need a bias"));
  CHECK_THROWS_WITH(loss({same, {pairs(50, 1.0)}}), Contains("a teacher need a bias"));
  CHECK_THROWS_WITH(loss({same, {}}), Contains("no teacher"));
}

TEST_CASE("Affinity mimicking does not underflow where every similarity is low", "[loss][cpu]") {
  auto student = pairs(64, 100.0, 24, 0, 0.8);
  student.y = student.y + 3.0 * student.y.mean(0, true) / student.y.mean(0, true).norm();
  student.y = student.y / student.y.norm(2, {1}, true);
  student.x[0] = -student.y.mean(0) / student.y.mean(0).norm();
  const auto teachers = teachers_of(64, 1, 40.0);
  check_against_dense({.tiles = kSmallTiles}, student, teachers, {1.0}, torch::kFloat);
  // The same for the teacher, and for both.
  check_against_dense({.tiles = kSmallTiles}, pairs(64, 14.3), {student}, {1.0}, torch::kFloat);
  check_against_dense({.tiles = kSmallTiles}, student, {student}, {1.0}, torch::kFloat);
  check_against_dense({.tiles = kSmallTiles}, student, {student, teachers[0]}, {0.5, 0.5},
                      torch::kFloat);
}

TEST_CASE("The size of tiles does not change affinity mimicking", "[loss][cpu]") {
  const auto student = pairs(130, 14.3);
  for (const std::size_t count : {1, 2}) {
    const auto teachers = teachers_of(130, count, 40.0);
    const auto expected =
        test::evaluate(with_teachers(AffinityLoss(), teachers), student, torch::kDouble);
    for (const auto rows : {1, 32, 130, 500})
      for (const auto columns : {7, 64, 999}) {
        const AffinityLoss loss({.tiles = {.rows = rows, .columns = columns}});
        CHECK(test::worst_error(
                  test::evaluate(with_teachers(loss, teachers), student, torch::kDouble), expected,
                  1e-6) < 1e-12);
      }
  }
}

namespace {

/// The CUDA formulation on `device`; the CPU emulates it. The features are bf16 numbers, so their
/// products are exact. What is left is the rounding of the gradient tile, whose entries sum to at
/// most 4 over a row and a column, to the dtype of the products.
void check_cuda_formulation(at::Device device) {
  const auto student = cast(cast(pairs(100, 14.3), torch::kBFloat16), torch::kFloat);
  const auto teacher = cast(cast(pairs(100, 40.0, 17, 3), torch::kBFloat16), torch::kFloat);
  const auto expected =
      test::evaluate(with_teachers(AffinityLoss(), {teacher}), student, torch::kDouble);
  const Embeddings there{teacher.x.to(device), teacher.y.to(device), teacher.scale.to(device)};
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    TileOptions tiles = kSmallTiles;
    tiles.matmul_dtype = dtype;
    tiles.testing.emulate_cuda_rounding = true;
    const auto result = test::evaluate_on(
        device, with_teachers(AffinityLoss({.tiles = tiles}), {there}), student, torch::kFloat);
    const double unit = dtype == torch::kFloat  ? 0x1p-24 * 14.3
                        : dtype == torch::kHalf ? 0x1p-11
                                                : 0x1p-9;
    INFO(device << ", products in " << dtype);
    CHECK(result.value == Approx(expected.value).epsilon(1e-5));
    for (std::size_t i : {0, 1})
      CHECK((result.gradients[i].cpu() - expected.gradients[i]).abs().max().item<double>() <=
            4 * 14.3 / 200 * unit + 1e-6);
  }
}

}  // namespace

TEST_CASE("The CUDA formulation rounds the gradients of logits and nothing else", "[loss][cpu]") {
  check_cuda_formulation(torch::kCPU);
}

TEST_CASE("Affinity mimicking on CUDA agrees with float64", "[loss][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  check_cuda_formulation(torch::kCUDA);
}

TEST_CASE("Ranks give the distillation losses of the whole batch", "[loss][cpu]") {
  for (const std::int64_t ranks : {1, 2, 3})
    for (const std::int64_t n : {1, 2, 127})
      for (const bool ring : {false, true})
        for (const std::size_t count : {1, 2}) {
          const auto student = pairs(n, 30.0);
          auto teachers = teachers_of(n, count, 40.0);
          INFO(ranks << " ranks, n " << n << ", ring " << ring << ", " << count << " teachers");
          const auto check = [&](const auto& make, const auto& expected_loss,
                                 const std::vector<Embeddings>& all) {
            const auto expected = test::evaluate(expected_loss, student, torch::kDouble);
            const auto on_rank = [&](const test::ThreadRank& rank) {
              return [loss = make(rank), mine = on_rank_of(all, rank)](const Embeddings& e) {
                return LossTerms(loss(DistilledEmbeddings{e, mine})).total;
              };
            };
            CHECK(test::worst_error(test::evaluate_on_ranks(on_rank, student, ranks), expected,
                                    30.0 / static_cast<double>(n)) < 1e-11);
          };
          check(
              [&](const auto& rank) {
                return AffinityLoss({.tiles = kSmallTiles, .ring = ring}, rank);
              },
              [&](const Embeddings& e) {
                return dense(e, teachers, equal_weights(count)).cross_entropy;
              },
              teachers);
          for (auto& teacher : teachers) {  // The other losses need the student's width.
            teacher.x = pairs(n, 1.0, 24, 31).x;
            teacher.y = pairs(n, 1.0, 24, 32).y;
          }
          check([](const auto& rank) { return FeatureDistillation(rank); },
                [&](const Embeddings& e) {
                  const auto mean = [&](const at::Tensor& a, const at::Tensor& b) {
                    return (a - b).square().mean();
                  };
                  auto sum = at::zeros({}, e.x.options());
                  for (const auto& t : teachers) sum = sum + mean(e.x, t.x) + mean(e.y, t.y);
                  return sum / static_cast<double>(count);
                },
                teachers);
          check(
              [&](const auto& rank) {
                return InteractiveLoss({.tiles = kSmallTiles, .ring = ring}, rank);
              },
              [&](const Embeddings& e) {
                auto sum = at::zeros({}, e.x.options());
                for (const auto& t : teachers)
                  sum = sum + test::dense_rows({e.x, t.y, e.scale}) +
                        test::dense_rows({e.y, t.x, e.scale});
                return sum / (2.0 * static_cast<double>(count));
              },
              teachers);
        }
}

TEST_CASE("Ranks fall back to running maxima together in affinity mimicking", "[loss][cpu]") {
  auto student = pairs(40, 100.0, 24, 0, 0.8);
  student.y = student.y + 3.0 * student.y.mean(0, true) / student.y.mean(0, true).norm();
  student.y = student.y / student.y.norm(2, {1}, true);
  student.x[3] = -student.y.mean(0) / student.y.mean(0).norm();
  const auto teachers = teachers_of(40, 1, 40.0);
  const auto expected =
      test::evaluate([&](const Embeddings& e) { return dense(e, teachers, {1.0}).cross_entropy; },
                     student, torch::kDouble);
  const auto single = test::leaves(student, torch::kFloat);
  for (const bool ring : {false, true}) {
    const auto on_rank = [&](const test::ThreadRank& rank) {
      return with_teachers(AffinityLoss({.tiles = kSmallTiles, .ring = ring}, rank),
                           on_rank_of(teachers, rank));
    };
    // A logit of 100 is rounded by 100 * 2^-24 in each of a few operations.
    CHECK(test::worst_error(test::evaluate_on_ranks(on_rank, single, 3), expected, 1.0) < 5e-5);
  }
}

TEST_CASE("The memory of affinity mimicking grows with N, not with its square", "[loss][cpu]") {
  const auto peak = [](std::int64_t n) {
    torch::manual_seed(2);
    const auto x = torch::randn({n, 16}).requires_grad_(true);
    const auto y = torch::randn({n, 16}).requires_grad_(true);
    const Embeddings teacher{torch::randn({n, 24}), torch::randn({n, 24}), torch::tensor(1.0)};
    const MemoryMeter meter;
    AffinityLoss({.tiles = kSmallTiles})({{x, y, torch::tensor(1.0)}, {teacher, teacher}})
        .total.backward();
    return static_cast<double>(meter.peak_bytes(at::kCPU));
  };
  CHECK(peak(4096) < 2.2 * peak(2048));
}

TEST_CASE("A sum of losses adds weighted terms and names each", "[loss][cpu]") {
  const auto student = pairs(20, 10.0);
  const DistilledEmbeddings in{student, {pairs(20, 30.0, 24, 1)}};
  const LossSum loss(WeightedLoss{"contrastive", 0.25, TiledInfoNce()},
                     WeightedLoss{"affinity", 0.75, AffinityLoss()},
                     WeightedLoss{"feature", 2000.0, FeatureDistillation()},
                     WeightedLoss{"interactive", 0.0, InteractiveLoss()});
  const auto terms = loss(in);
  const double contrastive = TiledInfoNce()(student).item<double>();
  const double affinity = AffinityLoss()(in).total.item<double>();
  const double feature = FeatureDistillation()(in).item<double>();
  CHECK(terms.total.item<double>() ==
        Approx(0.25 * contrastive + 0.75 * affinity + 2000 * feature).epsilon(1e-12));
  std::vector<std::string> names;
  for (const auto& [name, _] : terms.parts) names.push_back(name);
  CHECK(names == std::vector<std::string>{"contrastive", "affinity", "affinity/cross_entropy",
                                          "affinity/target_entropy", "feature"});
  CHECK(terms.parts[0].second.item<double>() == contrastive);
  CHECK(terms.parts[4].second.item<double>() == feature);
  // The sum of losses of embeddings is a loss of embeddings.
  const LossSum plain(WeightedLoss{"a", 1.0, TiledInfoNce()},
                      WeightedLoss{"b", 1.0, TiledInfoNce()});
  CHECK(plain(student).total.item<double>() == Approx(2 * contrastive).epsilon(1e-12));
  // Terms may read the batch.
  struct Labels {
    LossTerms operator()(const Embeddings& e, const Batch& batch) const {
      return e.x.sum() * 0.0 + batch.at("label").sum().to(at::kDouble);
    }
  };
  const LossSum mixed(WeightedLoss{"affinity", 1.0, AffinityLoss()},
                      WeightedLoss{"labels", 2.0, Labels()});
  static_assert(LossOf<decltype(mixed), DistilledEmbeddings>);
  static_assert(!LossOf<decltype(mixed), Embeddings>);  // There would be no teacher.
  Batch batch;
  batch.tensors = {{"label", torch::arange(4)}};
  CHECK(mixed(in, batch).total.item<double>() == Approx(affinity + 12).epsilon(1e-12));
  CHECK_THROWS_WITH(LossSum(WeightedLoss{"a", 0.0, TiledInfoNce()}), Contains("all weights are 0"));
  CHECK_THROWS_WITH(LossSum(WeightedLoss{"a", NAN, TiledInfoNce()}),
                    Contains("weight of 'a' is nan"));
}

TEST_CASE("Distillation losses name what does not fit", "[loss][cpu]") {
  const auto student = pairs(6, 10.0);
  const auto teacher = pairs(6, 10.0, 17, 1);
  CHECK_THROWS_WITH(AffinityLoss()({student, {}}), Contains("no teacher"));
  CHECK_THROWS_WITH(FeatureDistillation()({student, {}}), Contains("no teacher"));
  CHECK_THROWS_WITH(InteractiveLoss()({student, {}}), Contains("no teacher"));
  CHECK_THROWS_WITH(AffinityLoss()({student, {pairs(5, 10.0)}}),
                    Contains("teacher 0 has 5 pairs and the student 6"));
  CHECK_THROWS_WITH(AffinityLoss({.teacher_scales = {50, 50}})({student, {teacher}}),
                    Contains("teacher_scales has 2 numbers for 1 teachers"));
  CHECK_THROWS_WITH(AffinityLoss({.teacher_weights = {0}})({student, {teacher}}),
                    Contains("sum of teacher_weights is 0"));
  CHECK_THROWS_WITH(AffinityLoss({.teacher_scales = {-1}}), Contains("must be positive, got -1"));
  CHECK_THROWS_WITH(AffinityLoss({.student_scale = 0.0}), Contains("must be positive, got 0"));
  CHECK_THROWS_WITH(AffinityLoss({.teacher_scales = {50}, .share_student_scale = true}),
                    Contains("exclude each other"));
  CHECK_THROWS_WITH(FeatureDistillation()({student, {teacher}}),
                    Contains("map the student's to the width of the teacher"));
  auto negatives = student;
  negatives.negatives = student.y;
  CHECK_THROWS_WITH(AffinityLoss()({negatives, {teacher}}), Contains("negatives"));
}
