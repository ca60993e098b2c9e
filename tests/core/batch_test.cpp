// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/batch.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A batch that lacks a tensor lists the tensors that it holds", "[core][cpu]") {
  const Batch batch{{{"image", torch::zeros({4, 3})}, {"text", torch::zeros({4, 2})}}, {}};
  REQUIRE(batch.size() == 4);
  REQUIRE(batch.at("text").size(1) == 2);
  REQUIRE_THROWS_WITH(batch.at("texts"), Contains("'texts'") && Contains("image, text"));
}

TEST_CASE("An empty batch has size zero", "[core][cpu]") {
  REQUIRE(Batch{}.size() == 0);
}

TEST_CASE("Moving a batch keeps dtypes, names and keys", "[core][cpu]") {
  const Batch batch{{{"image", torch::ones({2, 3}, torch::kUInt8)}}, {"a", "b"}};
  const Batch moved = batch.to(torch::kCPU);
  REQUIRE(moved.at("image").scalar_type() == torch::kUInt8);
  REQUIRE(moved.keys == batch.keys);
}
