// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/queued_loss.hpp"

#include <cmath>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/local_info_nce.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/matryoshka_loss.hpp"
#include "contrapunto/loss/negative_queue.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "loss/pair_oracle.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

static_assert(ContrastiveLoss<QueuedLoss<TiledInfoNce>>);
static_assert(ContrastiveLoss<QueuedLoss<MatryoshkaLoss<TiledSigmoidLoss>>>);

namespace {

const TileOptions kSmallTiles{.rows = 4, .columns = 3};

/// A batch of n pairs in float64.
Embeddings batch_of(std::int64_t n, bool grouped = false) {
  Embeddings e{test::unit_rows(n, 6), test::unit_rows(n, 6), torch::tensor(4.0, torch::kDouble),
               torch::tensor(-1.0, torch::kDouble)};
  if (grouped) e.group_ids = torch::randint(0, 5, {n}, torch::kLong);
  return e;
}

/// Batches of different sizes, as uneven ends of a data set give them.
std::vector<Embeddings> batches(bool grouped = false) {
  torch::manual_seed(4);
  std::vector<Embeddings> all;
  for (const std::int64_t n : {5, 3, 7, 4, 12, 6}) all.push_back(batch_of(n, grouped));
  return all;
}

/// A queue as a list of single pairs.
struct PlainQueue {
  std::size_t capacity;
  std::deque<Embeddings> pairs = {};

  void push(const Embeddings& e) {
    for (std::int64_t i = 0; i < e.x.size(0); ++i) {
      Embeddings one{e.x.narrow(0, i, 1).clone(), e.y.narrow(0, i, 1).clone()};
      if (e.group_ids) one.group_ids = e.group_ids->narrow(0, i, 1);
      pairs.push_back(one);
      if (pairs.size() > capacity) pairs.pop_front();
    }
  }
  /// e with one side of the queue as negatives.
  [[nodiscard]] Embeddings beside(Embeddings e, at::Tensor Embeddings::*side) const {
    if (pairs.empty()) return e;
    std::vector<at::Tensor> rows, groups;
    for (const auto& pair : pairs) {
      rows.push_back(pair.*side);
      if (pair.group_ids) groups.push_back(*pair.group_ids);
    }
    e.negatives = torch::cat(rows);
    if (!groups.empty()) e.negative_group_ids = torch::cat(groups);
    return e;
  }
};

Embeddings exchanged(Embeddings e) {
  std::swap(e.x, e.y);
  return e;
}

/// Value and gradients of x, y, scale and bias.
template <class Loss>
test::LossResult result_of(const Loss& loss, const Embeddings& e) {
  return test::evaluate([&](const Embeddings& own) { return LossTerms(loss(own)).total; }, e,
                        torch::kDouble);
}

}  // namespace

TEST_CASE("InfoNCE with a queue is the sum over the rows of earlier batches, by loops",
          "[loss][cpu]") {
  NegativeQueue queue({.pairs = 10, .both_directions = true});
  const QueuedLoss loss(TiledInfoNce({.tiles = kSmallTiles, .symmetric = false}), queue);
  PlainQueue plain{10};
  for (const auto& e : batches()) {
    // Row i of the logits: the own batch, then the queue.
    const auto by_loops = [&](const Embeddings& of, at::Tensor Embeddings::*side) {
      double sum = 0.0;
      for (std::int64_t i = 0; i < of.x.size(0); ++i) {
        const auto similarity = [&](const at::Tensor& row) {
          double dot = 0.0;
          for (std::int64_t d = 0; d < 6; ++d)
            dot += of.x[i][d].item<double>() * row[d].item<double>();
          return 4.0 * dot;
        };
        double all = 0.0;
        for (std::int64_t j = 0; j < of.y.size(0); ++j) all += std::exp(similarity(of.y[j]));
        for (const auto& pair : plain.pairs) all += std::exp(similarity((pair.*side)[0]));
        sum += std::log(all) - similarity(of.y[i]);
      }
      return sum / static_cast<double>(of.x.size(0));
    };
    const double expected =
        (by_loops(e, &Embeddings::y) + by_loops(exchanged(e), &Embeddings::x)) / 2;
    const auto terms = loss(test::leaves(e, torch::kDouble));
    CHECK(terms.total.item<double>() == Approx(expected).epsilon(1e-12));
    REQUIRE(terms.parts.size() == 3);
    CHECK(terms.parts[2].first == "queued_pairs");
    CHECK(terms.parts[2].second.item<double>() == static_cast<double>(plain.pairs.size()));
    queue.push();
    plain.push(e);
    CHECK(queue.size() == static_cast<std::int64_t>(plain.pairs.size()));
  }
  CHECK(queue.size() == 10);
}

TEST_CASE("Every loss has the gradients of the loss with the queued rows as negatives",
          "[loss][cpu]") {
  const auto check = [](const char* name, const auto& loss, const auto& dense, bool grouped) {
    for (const bool both : {false, true}) {
      NegativeQueue queue({.pairs = 11, .both_directions = both});
      const QueuedLoss queued(loss, queue);
      PlainQueue plain{11};
      for (const auto& e : batches(grouped)) {
        const auto expected = result_of(
            [&](const Embeddings& own) {
              const auto one = dense(plain.beside(own, &Embeddings::y));
              return both ? (one + dense(plain.beside(exchanged(own), &Embeddings::x))) / 2 : one;
            },
            e);
        INFO(name << ", both directions " << both << ", " << plain.pairs.size() << " queued pairs");
        CHECK(test::worst_error(result_of(queued, e), expected, 1e-3) < 1e-11);
        queue.push();
        plain.push(e);
      }
    }
  };
  for (const bool grouped : {false, true}) {
    check("InfoNCE", TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, grouped);
    check("one direction", TiledInfoNce({.tiles = kSmallTiles, .symmetric = false}),
          test::dense_rows, grouped);
    check("LocalInfoNce", LocalInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, grouped);
    check("sigmoid", TiledSigmoidLoss({.tiles = kSmallTiles}), test::dense_sigmoid, grouped);
  }
}

TEST_CASE("Ranks share a queue that does not depend on their number", "[loss][cpu]") {
  const auto all = batches(true);
  const auto run = [&](std::int64_t ranks, bool ring) {
    std::vector<std::vector<double>> losses(static_cast<std::size_t>(ranks));
    std::vector<State> states(losses.size());
    test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      NegativeQueue queue({.pairs = 14, .both_directions = true}, rank);
      const QueuedLoss loss(TiledInfoNce({.tiles = kSmallTiles, .ring = ring}, rank), queue);
      for (const auto& e : all) {
        const auto part = [&](const at::Tensor& t) { return test::part_of_rank(t, rank); };
        Embeddings own{part(e.x), part(e.y), e.scale};
        own.group_ids = part(*e.group_ids);
        losses[r].push_back(loss(own).total.template item<double>());
        queue.push();
      }
      states[r] = queue.save_state();
    });
    for (std::size_t r = 1; r < losses.size(); ++r) {
      CHECK(losses[r] == losses[0]);
      for (const auto& [name, rows] : states[0].tensors) CHECK(rows.equal(states[r].tensor(name)));
    }
    return std::pair(losses[0], states[0]);
  };
  const auto [losses, state] = run(1, false);
  CHECK(state.tensors.size() == 3);
  for (const std::int64_t ranks : {2, 4, 7})
    for (const bool ring : {false, true}) {
      const auto [own_losses, own_state] = run(ranks, ring);
      INFO(ranks << " ranks, ring " << ring);
      for (std::size_t i = 0; i < losses.size(); ++i)
        CHECK(own_losses[i] == Approx(losses[i]).epsilon(1e-12));
      for (const auto& [name, rows] : state.tensors) CHECK(rows.equal(own_state.tensor(name)));
    }
}

TEST_CASE("Gradients over ranks are those of one process with the same queue", "[loss][cpu]") {
  torch::manual_seed(9);
  const auto e = batch_of(9);
  State state;
  state.tensors = {{"x", test::unit_rows(7, 6)}, {"y", test::unit_rows(7, 6)}};
  const auto make = [&](const Ranks& ranks) {
    NegativeQueue queue({.pairs = 7, .both_directions = true}, ranks);
    queue.load_state(state);
    return [loss = QueuedLoss(TiledSigmoidLoss({.tiles = kSmallTiles}, ranks), queue)](
               const Embeddings& own) { return loss(own).total; };
  };
  const auto expected = test::evaluate(make({}), e, torch::kDouble);
  for (const std::int64_t ranks : {2, 4})
    CHECK(test::worst_error(test::evaluate_on_ranks(make, e, ranks), expected, 1e-3) < 1e-11);
}

TEST_CASE("A restored queue continues with the same bits, and a smaller one keeps the last pairs",
          "[loss][cpu]") {
  const auto all = batches();
  NegativeQueue whole({.pairs = 10});
  const QueuedLoss loss(TiledInfoNce(), whole);
  State state;
  std::vector<double> losses;
  for (std::size_t i = 0; i < all.size(); ++i) {
    losses.push_back(loss(all[i]).total.item<double>());
    whole.push();
    if (i == 2) state = whole.save_state();
  }
  NegativeQueue resumed({.pairs = 10});
  resumed.load_state(state);
  CHECK(resumed.size() == 10);
  const QueuedLoss same(TiledInfoNce(), resumed);
  for (std::size_t i = 3; i < all.size(); ++i) {
    CHECK(same(all[i]).total.item<double>() == losses[i]);
    resumed.push();
  }
  NegativeQueue small({.pairs = 4});
  small.load_state(state);
  CHECK(small.save_state().tensor("y").equal(state.tensor("y").narrow(0, 6, 4)));
  small.load_state({});
  CHECK(small.size() == 0);
  NegativeQueue both({.pairs = 4, .both_directions = true});
  CHECK_THROWS_WITH(both.load_state(state), Contains("no rows of x"));
}

TEST_CASE("Only a push changes the queue, and it appends the last batch with gradients",
          "[loss][cpu]") {
  const auto all = batches();
  NegativeQueue queue({.pairs = 100});
  const QueuedLoss loss(TiledInfoNce(), queue);
  CHECK_THROWS_WITH(queue.push(), Contains("no batch"));
  static_cast<void>(loss(all[0]));
  static_cast<void>(loss(all[1]));  // As a step that is repeated.
  {
    const torch::NoGradGuard no_grad;
    static_cast<void>(loss(all[2]));  // As an evaluation.
  }
  CHECK(queue.size() == 0);
  queue.push();
  CHECK(queue.save_state().tensor("y").equal(all[1].y));
  CHECK_THROWS_WITH(queue.push(), Contains("no batch"));
  // The rows have no graph, and later changes of the features do not reach them.
  auto e = test::leaves(all[3], torch::kDouble);
  static_cast<void>(loss(e));
  queue.push();
  const auto before = queue.save_state().tensor("y").clone();
  CHECK_FALSE(before.requires_grad());
  {
    const torch::NoGradGuard no_grad;
    e.y.zero_();
  }
  CHECK(queue.save_state().tensor("y").equal(before));
}

TEST_CASE("In a distillation the queue is that of the student, and it keeps hard negatives",
          "[loss][cpu]") {
  torch::manual_seed(3);
  NegativeQueue queue({.pairs = 8});
  const LossSum sum(WeightedLoss{"contrastive", 0.5, QueuedLoss(TiledInfoNce(), queue)},
                    WeightedLoss{"affinity", 0.5, AffinityLoss()});
  const DistilledEmbeddings inputs{batch_of(5), {batch_of(5)}};
  const double empty = sum(inputs).total.item<double>();
  queue.push();
  const auto terms = sum(inputs);
  CHECK(terms.total.item<double>() > empty);
  CHECK(terms.parts[1].first == "contrastive/queued_pairs");
  CHECK(terms.parts[1].second.item<double>() == 5.0);

  auto e = batch_of(4);
  e.negatives = test::unit_rows(3, 6);
  auto expected = e;
  expected.negatives = torch::cat({*e.negatives, inputs.student.y});
  CHECK(QueuedLoss(TiledInfoNce(), queue)(e).total.item<double>() ==
        Approx(test::dense_symmetric(expected).item<double>()).epsilon(1e-12));
}

TEST_CASE("A queue that does not fit raises", "[loss][cpu]") {
  CHECK_THROWS_WITH(NegativeQueue({.pairs = 0}), Contains("pairs (0)"));
  torch::manual_seed(3);
  NegativeQueue queue({.pairs = 8});
  const QueuedLoss loss(TiledInfoNce(), queue);
  static_cast<void>(loss(batch_of(4)));
  queue.push();
  const Embeddings narrow{test::unit_rows(4, 5), test::unit_rows(4, 5),
                          torch::tensor(1.0, torch::kDouble)};
  CHECK_THROWS_WITH(loss(narrow), Contains("rows of 6 numbers"));
  queue.remember(narrow);
  CHECK_THROWS_WITH(queue.push(), Contains("rows of 6 numbers and the batch of 5"));
  queue.remember(batch_of(4, true));
  CHECK_THROWS_WITH(queue.push(), Contains("group_ids"));
  test::run_thread_ranks(2, [](const test::ThreadRank& rank) {
    try {
      const QueuedLoss other(TiledInfoNce({}, rank), NegativeQueue());
    } catch (const std::exception& error) {
      if (std::string(error.what()).find("2 ranks and the queue 1") != std::string::npos) return;
    }
    throw std::runtime_error("a queue without the ranks of the loss was taken");
  });
}
