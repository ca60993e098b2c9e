// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/gather_with_gradient.hpp"

#include <vector>

#include "contrapunto/distributed/single_process.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("A gather with gradient hands each row the sum of what the ranks make of it",
          "[distributed][cpu]") {
  for (const bool even : {true, false}) {
    torch::manual_seed(2);
    const std::vector<std::int64_t> sizes =
        even ? std::vector<std::int64_t>{2, 2, 2} : std::vector<std::int64_t>{3, 0, 2};
    const auto whole = torch::randn({even ? 6 : 5, 2, 3}, torch::kDouble).requires_grad_();
    const auto weights = torch::randn({3, even ? 6 : 5, 2, 3}, torch::kDouble);  // one per rank
    (weights * whole.square()).sum().backward();

    std::vector<at::Tensor> rows(3), gradients(3);
    test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      std::int64_t begin = 0;
      for (std::size_t i = 0; i < r; ++i) begin += sizes[i];
      const auto own = whole.detach().narrow(0, begin, sizes[r]).clone().requires_grad_();
      const auto gathered = gather_with_gradient(rank, own);
      (weights[rank.rank()] * gathered.rows.square()).sum().backward();
      rows[r] = gathered.rows.detach();
      gradients[r] = own.grad();
      if (gathered.sizes != sizes || gathered.offset != begin) rows[r] = at::Tensor();
    });
    for (const auto& all : rows) {
      REQUIRE(all.defined());
      CHECK(at::equal(all, whole.detach()));
    }
    CHECK(test::close(torch::cat(gradients), whole.grad()));
  }
}

TEST_CASE("A gather with gradient of one process is the tensor itself", "[distributed][cpu]") {
  const auto own = torch::arange(6.0).view({3, 2}).requires_grad_();
  const auto gathered = gather_with_gradient(SingleProcess(), own);
  CHECK(at::equal(gathered.rows, own));
  gathered.rows.square().sum().backward();
  CHECK(at::equal(own.grad(), 2 * own.detach()));
  const torch::NoGradGuard no_grad;
  CHECK_FALSE(gather_with_gradient(SingleProcess(), own).rows.requires_grad());
}
