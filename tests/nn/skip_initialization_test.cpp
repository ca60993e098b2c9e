// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/nn/skip_initialization.hpp"

#include "contrapunto/nn/linear.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Random weights are not drawn while initialization is skipped", "[nn][cpu]") {
  const LinearOptions options{.in_features = 4, .out_features = 3};
  torch::manual_seed(1);
  const Linear usual(options);
  const auto after = torch::rand({2});
  torch::manual_seed(1);
  {
    const SkipInitialization skip;
    const Linear skipped(options);
    CHECK(skipped->weight.sizes() == usual->weight.sizes());
    { const SkipInitialization inner; }
    const Linear other(options);  // The inner scope ended, but not the outer one.
  }
  const Linear again(options);  // The first draws since the seed.
  CHECK(at::equal(again->weight, usual->weight));
  CHECK(at::equal(torch::rand({2}), after));
}
