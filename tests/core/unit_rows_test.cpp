// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/unit_rows.hpp"

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("Unit rows have length 1 along the last dimension and keep their direction",
          "[core][cpu]") {
  torch::manual_seed(8);
  for (const auto& shape : {std::vector<std::int64_t>{4, 5}, std::vector<std::int64_t>{3, 4, 5}}) {
    const auto x = torch::randn(shape, at::kDouble) * 100;
    const auto rows = unit_rows(x);
    CHECK(test::close((rows * rows).sum(-1), torch::ones_like(x.select(-1, 0))));
    CHECK(test::close(rows * x.square().sum(-1, true).sqrt(), x));
  }
}

TEST_CASE("Unit rows come in at least float32 and keep float64", "[core][cpu]") {
  const auto x = torch::full({2, 3}, 2.0);
  CHECK(unit_rows(x.to(at::kBFloat16)).scalar_type() == at::kFloat);
  CHECK(unit_rows(x.to(at::kHalf)).scalar_type() == at::kFloat);
  CHECK(unit_rows(x.to(at::kDouble)).scalar_type() == at::kDouble);
  CHECK(at_least_float32(torch::ones({2}, at::kLong)).scalar_type() == at::kFloat);
}

TEST_CASE("A row of zeros stays zero with a finite gradient", "[core][cpu]") {
  const auto x = torch::zeros({2, 3}).requires_grad_();
  const auto rows = unit_rows(x);
  CHECK(at::equal(rows, torch::zeros({2, 3})));
  rows.sum().backward();
  CHECK(torch::isfinite(x.grad()).all().item<bool>());
}
